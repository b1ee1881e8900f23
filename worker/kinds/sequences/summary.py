"""A summary of sequences: a few rows, real or synthetic, that stand for all of them, in memory and as files.

What is read back is, bit for bit, what was measured:

    summary_hard.npz    item numbers and lengths of rows, where rows of items are delivered
    summary_soft.npz    what is read and, in low rank, the probabilities of what comes next
    summary_topk.npz    the same with the k most probable next items
    hard.jsonl          the rows with the dataset's own ids; of a text, the text itself
    hard.inter          the same as events under a typed header (RecBole's), in order
    vocab.json          item number -> item id
    recipe.json         how a learner was trained on it while it was made and measured
    load.py             a loader: numpy for rows, torch for probabilities
    summary.json        forms and where it comes from
    dataset/            the rows as canonical files of a dataset version, all training events

The same summary gives the same bytes: nothing depends on the clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.product import Origin, Product
from worker.kinds.sequences import dataset, sizes
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.leaks import held_out_events
from worker.kinds.sequences.loader import LOADER
from worker.kinds.sequences.rows import Rows, bounds
from worker.kinds.sequences.splits import TRAIN
from worker.numerics.npz import write_npz

FORMAT, VERSION = "distillery-sequences", 1


@dataclass(frozen=True)
class SequenceSummary(Product):
    """What a distil or select job delivers.

    `rows`: rows of items (n), the hard form, which also becomes a dataset version. `soft`: further forms by name
    (`soft`, `topk`, `labels`), each with n units. `forms`: which of them are delivered, the primary one first.
    `weights`: float32 (n,), how many sequences a hard row stands for, or None. `real_rows`: the rows are sequences of
    the dataset, whose ids are `row_ids` (n,). `recipe`: JSON, how learners were trained on it. `options`: those of the
    dataset.
    """

    type: ClassVar[str] = "sequences"

    rows: Rows
    vocabulary: np.ndarray
    max_len: int
    forms: tuple[str, ...] = ("hard",)
    soft: Mapping[str, TrainingSet] = field(default_factory=dict[str, TrainingSet])
    origin: Origin = field(default_factory=Origin)
    warnings: tuple[str, ...] = ()
    weights: np.ndarray | None = None
    real_rows: bool = False
    row_ids: np.ndarray | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        """ValueError when a form is missing, unknown, or not over these items."""
        if not self.forms or any(form not in {"hard", *self.soft} or form not in sizes.LABELS for form in self.forms):
            raise ValueError(f"the forms of a summary are {', '.join(sizes.LABELS)}, and those delivered must be there")
        if any(one.items != len(self.vocabulary) for one in self.soft.values()):
            raise ValueError("a form is over other items")

    @classmethod
    def of_rows(
        cls, data: Sequences, chosen: np.ndarray, *, origin: Origin, warnings: tuple[str, ...] = ()
    ) -> SequenceSummary:
        """A summary made of these training sequences (numbers of `data.training()`)."""
        taken = data.training().take(chosen)
        return cls(
            taken.rows,
            data.vocabulary,
            data.max_len,
            origin=origin,
            warnings=warnings,
            weights=taken.weights,
            real_rows=True,
            row_ids=taken.ids,
            options=kept_options(data.options),
        )

    @property
    def form(self) -> str:
        """The primary form."""
        return self.forms[0]

    @property
    def n_rows(self) -> int:
        """Rows n."""
        return len(self.rows)

    def delivered(self) -> dict[str, TrainingSet]:
        """Every delivered form as learners are trained on it, the primary one first."""
        return {form: self._hard() if form == "hard" else self.soft[form] for form in self.forms}

    def arrays(self, form: str) -> dict[str, np.ndarray]:
        """A form as it is delivered."""
        if form == "hard":
            return sizes.hard_arrays(self.rows, len(self.vocabulary), self.weights)
        return sizes.soft_arrays(self.soft[form])

    def _hard(self) -> TrainingSet:
        return TrainingSet.of(self.rows, len(self.vocabulary), self.max_len, weight=self.weights)

    def write(self, folder: Path, data: Sequences | None = None) -> None:
        """Write all files into `folder`, which is made if need be. With `data`, items keep titles and features."""
        folder.mkdir(parents=True, exist_ok=True)
        for form in self.forms:
            write_npz(folder / f"summary_{form}.npz", self.arrays(form))
        soft = next((form for form in self.forms if form != "hard"), None)
        (folder / "load.py").write_text(LOADER % {"form": self.form, "soft": soft}, encoding="utf-8")
        _json(folder / "vocab.json", self.vocabulary.tolist())
        _json(folder / "recipe.json", dict(self.recipe))
        about = {
            "format": FORMAT,
            "version": VERSION,
            "forms": list(self.forms),
            "rows": self.n_rows,
            "items": len(self.vocabulary),
            "events": len(self.rows.items),
            "max_len": self.max_len,
            "max_lens": {form: one.max_len for form, one in self.soft.items()},
            "real_rows": self.real_rows,
            "origin": self.origin.to_json(),
            "options": dict(self.options),
            "warnings": list(self.warnings),
        }
        _json(folder / "summary.json", about)
        ids = self._ids()
        self._write_rows(folder, ids)
        (folder / "dataset").mkdir(exist_ok=True)
        dataset.save(self._version(ids, data), folder / "dataset")

    def _ids(self) -> np.ndarray:
        if self.row_ids is not None:
            return np.asarray(self.row_ids, dtype=str)
        width = max(4, len(str(self.n_rows)))
        return np.array([f"synth_{number:0{width}d}" for number in range(1, self.n_rows + 1)])

    def _write_rows(self, folder: Path, ids: np.ndarray) -> None:
        with (folder / "hard.jsonl").open("w", encoding="utf-8") as out:
            for number, name in enumerate(ids.tolist()):
                events = self.vocabulary[self.rows.row(number)].tolist()
                line: dict[str, Any] = {"sequence_id": name, "items": events}
                if self.options.get("content") == "text":
                    line["text"] = ("" if self.options.get("tokeniser") == "char" else " ").join(events)
                if self.weights is not None:
                    line["weight"] = float(self.weights[number])
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
        if self.options.get("content") != "text":
            owner = _cells(ids)[self.rows.owners()]
            events = _cells(self.vocabulary)[self.rows.items]
            place = np.arange(len(events)) - np.repeat(self.rows.indptr[:-1], self.rows.lengths)
            lines = zip(owner.tolist(), events.tolist(), place.tolist(), strict=True)
            with (folder / "hard.inter").open("w", encoding="utf-8") as out:
                out.write("user_id:token\titem_id:token\ttimestamp:float\n")
                out.writelines(f"{user}\t{item}\t{at}\n" for user, item, at in lines)

    def _version(self, ids: np.ndarray, data: Sequences | None) -> Sequences:
        """The rows as a dataset, every event in the training part."""
        return Sequences(
            self.rows.indptr,
            self.rows.items.astype(np.int32),
            self.vocabulary,
            np.full(len(self.rows.items), TRAIN, np.int8),
            ids,
            weights=self.weights,
            titles=None if data is None else data.titles,
            features=None if data is None else data.features,
            options={**self.options, "max_len": self.max_len},
        )

    @classmethod
    def read(cls, folder: Path) -> SequenceSummary:
        """The summary back from its files; ValueError for files that are not such a bundle."""
        about = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        if about.get("format") != FORMAT or about.get("version") != VERSION:
            raise ValueError(f"{folder} is not a bundle of this kind and version")
        stored = dataset.load(folder / "dataset")
        soft: dict[str, TrainingSet] = {}
        for form in about["forms"]:
            if form == "hard":
                continue
            with np.load(folder / f"summary_{form}.npz", allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            arrays["indptr"] = bounds(arrays.pop("lengths"))
            soft[form] = TrainingSet.from_arrays(arrays, about["items"], about["max_lens"][form], about["rows"])
        return cls(
            stored.rows,
            stored.vocabulary,
            about["max_len"],
            tuple(about["forms"]),
            soft,
            Origin.from_json(about["origin"]),
            tuple(about["warnings"]),
            stored.weights,
            about["real_rows"],
            stored.ids if about["real_rows"] else None,
            json.loads((folder / "recipe.json").read_text(encoding="utf-8")),
            about["options"],
        )

    def judge(self, data: Sequences, params: Any, ctx: Context) -> Any:
        """Measure it beside the full data and cheap picks; see `worker.kinds.sequences.judge`."""
        from worker.kinds.sequences.judge import judge  # learners need torch, which reading a summary does not

        return judge(data, [self], params, ctx)


def kept_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What of a dataset's options says how its rows are to be read."""
    return {name: options[name] for name in ("content", "tokeniser", "max_len") if name in options}


def _cells(words: np.ndarray) -> np.ndarray:
    """Text without what would end a cell of a table: those characters as they are written in code."""
    return np.array([word.translate({9: "\\t", 10: "\\n", 13: "\\r"}) for word in words.tolist()], dtype=str)


def _json(file: Path, value: Any) -> None:
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")


def adopt(data: Sequences, subset: Sequences) -> SequenceSummary:
    """A dataset version as a summary of `data`: every event, whatever its split, matched by item id, but for those that
    are held out in `data`: learners must not be trained on what they are asked.

    Raises `JobError` `invalid_input` when the two share no item; what is left out is told in a warning.
    """
    position = {item: number for number, item in enumerate(data.vocabulary.tolist())}
    numbers = np.array([position.get(item, -1) for item in subset.vocabulary.tolist()], np.int64)
    items = numbers[subset.items] if len(subset.items) else np.zeros(0, np.int64)
    known = items >= 0
    if not known.any():
        raise JobError(
            "invalid_input",
            "The subset and the dataset have no item in common.",
            hint="Use the same item ids in both uploads.",
            pointer="/inputs/summary",
        )
    missing = int((~known).sum())
    asked = held_out_events(data, Rows(subset.indptr, items), subset.ids)
    known &= ~asked
    if not known.any():
        raise JobError(
            "invalid_input",
            "All events of the subset are held out in the dataset: there is nothing to train on.",
            hint="Give a subset of training events.",
            pointer="/inputs/summary",
        )
    said = {
        "events of the subset are on items that the dataset does not have; they were left out.": missing,
        "events of the subset are held out in the dataset, for validation or test; they were left out.": asked.sum(),
    }
    warnings = [f"{count:,} {what}" for what, count in said.items() if count]
    if data.is_text:
        warnings.append(
            "It was not checked whether the subset holds validation or test text; if it does, its perplexities are too "
            "low."
        )
    counts = np.bincount(subset.rows.owners()[known], minlength=len(subset))
    kept = np.flatnonzero(counts)
    return SequenceSummary(
        Rows(bounds(counts[kept]), items[known].astype(np.int32)),
        data.vocabulary,
        data.max_len,
        origin=Origin("uploaded subset"),
        warnings=tuple(warnings),
        weights=None if subset.weights is None else subset.weights[kept],
        real_rows=True,
        row_ids=subset.ids[kept],
        options=kept_options(data.options),
    )
