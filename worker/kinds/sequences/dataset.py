"""Who did what in which order: sequences of events or of text, their canonical files, their split.

Canonical files of a version: `events.parquet` (item int32, split int8, optionally time int64; sequence after sequence,
each in order; the ingest options as metadata), `sequences.parquet` (sequence_id, length, optionally weight: how many
sequences it stands for) and `items.parquet` (item_id, optionally title); their row numbers are the indices. Features of
items, where the upload has them, lie in `item_features.npz`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from worker.contract.errors import JobError
from worker.kinds.sequences import item_features
from worker.kinds.sequences.item_features import ItemFeatures
from worker.kinds.sequences.rows import Rows, bounds, places
from worker.kinds.sequences.splits import SPLIT_NAMES, TEST, TRAIN, VALIDATION
from worker.numerics.quantiles import spread

EVENTS_FILE, SEQUENCES_FILE, ITEMS_FILE = "events.parquet", "sequences.parquet", "items.parquet"
_OPTIONS = b"distillery.options"
MAX_LEN = 50


@dataclass(frozen=True)
class Cases:
    """Held-out questions: what came before (`contexts`, q rows), what came then (`targets`, int32 (q,)), and of which
    sequence each is (`rows`, int64 (q,))."""

    contexts: Rows
    targets: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, chosen: np.ndarray) -> Cases:
        """The cases with these numbers."""
        return Cases(self.contexts.take(chosen), self.targets[chosen], self.rows[chosen])

    def some(self, most: int, seed: int) -> Cases:
        """At most so many of them, drawn at random, in their order; 0 takes all."""
        if not most or len(self) <= most:
            return self
        return self.take(np.sort(np.random.default_rng([seed, 2]).choice(len(self), most, replace=False)))


@dataclass(frozen=True)
class Sequences:
    """Sequences over V items, with their split.

    `indptr`: int64 (n + 1,); `items`: int32 (events,), numbers of `vocabulary`, text (V,); `split`: int8 (events,), see
    `splits`; `ids`: text (n,), whose sequence it is; `times`: int64 (events,) or None; `weights`: float32 (n,), how
    many sequences each stands for, or None; `titles`: text (V,) or None; `features`: of items, or None. `options`: of
    the upload, `content` ("events", "text") and `max_len` (how many of the latest events learners read) among them.
    """

    indptr: np.ndarray
    items: np.ndarray
    vocabulary: np.ndarray
    split: np.ndarray
    ids: np.ndarray
    times: np.ndarray | None = None
    weights: np.ndarray | None = None
    titles: np.ndarray | None = None
    features: ItemFeatures | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, rows: Rows, items: int, split: np.ndarray, **more: Any) -> Sequences:
        """Of rows over the items "0", "1", ..., for notebooks and tests."""
        vocabulary = more.pop("vocabulary", np.arange(items).astype(str))
        ids = more.pop("ids", np.arange(len(rows)).astype(str))
        return cls(rows.indptr, rows.items, vocabulary, np.asarray(split, np.int8), ids, **more)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def n_items(self) -> int:
        """Items V."""
        return len(self.vocabulary)

    @property
    def rows(self) -> Rows:
        """The sequences alone."""
        return Rows(self.indptr, self.items)

    @property
    def is_text(self) -> bool:
        """Whether items are tokens of a text, which is judged by its perplexity."""
        return self.options.get("content") == "text"

    @property
    def max_len(self) -> int:
        """How many of the latest events learners read."""
        return int(self.options.get("max_len", MAX_LEN))

    def take(self, rows: np.ndarray) -> Sequences:
        """These sequences, in this order."""
        lengths = np.diff(self.indptr)[rows]
        at = places(self.indptr[rows], lengths)
        return replace(
            self,
            indptr=bounds(lengths),
            items=self.items[at],
            split=self.split[at],
            ids=self.ids[rows],
            times=None if self.times is None else self.times[at],
            weights=None if self.weights is None else self.weights[rows],
        )

    def training(self) -> Sequences:
        """The same with training events alone; sequences that have none are gone."""
        return self._training

    @cached_property
    def _training(self) -> Sequences:
        kept = self.split == TRAIN
        if kept.all():
            return self
        counts = np.add.reduceat(np.append(kept, False), self.indptr[:-1].clip(max=len(kept))) * (
            np.diff(self.indptr) > 0
        )
        rows = np.flatnonzero(counts)
        return replace(
            self,
            indptr=bounds(counts[rows]),
            items=self.items[kept],
            split=self.split[kept],
            ids=self.ids[rows],
            times=None if self.times is None else self.times[kept],
            weights=None if self.weights is None else self.weights[rows],
        )

    def cases(self, part: Literal["validation", "test"]) -> Cases:
        """The next-event questions of a part: at most one of each sequence, with something before it.

        It is the first event of that part, or the last one of a sequence that lies wholly in it. All that came before
        is context: of a test event the validation event, too.
        """
        code = {"validation": VALIDATION, "test": TEST}[part]
        held = np.flatnonzero(self.split == code)
        owner = np.searchsorted(self.indptr, held, side="right") - 1
        rows, first, count = np.unique(owner, return_index=True, return_counts=True)
        whole = count == np.diff(self.indptr)[rows]
        at = np.where(whole, self.indptr[rows + 1] - 1, held[first])
        lengths = at - self.indptr[rows]
        rows, at, lengths = rows[lengths > 0], at[lengths > 0], lengths[lengths > 0]
        contexts = Rows(bounds(lengths), self.items[places(self.indptr[rows], lengths)])
        return Cases(contexts, self.items[at], rows)

    def held(self, part: Literal["validation", "test"]) -> Rows:
        """Sequences that lie wholly in a part, for what is measured at every event."""
        code = {"validation": VALIDATION, "test": TEST}[part]
        lengths = np.diff(self.indptr)
        first = self.split[self.indptr[:-1].clip(max=max(0, len(self.split) - 1))] if len(self.split) else lengths
        return self.rows.take(np.flatnonzero((first == code) & (lengths > 1)))


def save(data: Sequences, folder: Path) -> None:
    """Write the canonical files into an existing folder."""
    columns = {"item": data.items, "split": data.split} | ({} if data.times is None else {"time": data.times})
    table = pa.table(columns).replace_schema_metadata({_OPTIONS: json.dumps(dict(data.options), sort_keys=True)})
    parquet.write_table(table, folder / EVENTS_FILE, compression="zstd")
    rows = {"sequence_id": pa.array(data.ids, pa.string()), "length": np.diff(data.indptr)}
    if data.weights is not None:
        rows["weight"] = pa.array(data.weights, pa.float32())
    parquet.write_table(pa.table(rows), folder / SEQUENCES_FILE, compression="zstd")
    items = {"item_id": pa.array(data.vocabulary, pa.string())}
    if data.titles is not None:
        items["title"] = pa.array(data.titles, pa.string())
    parquet.write_table(pa.table(items), folder / ITEMS_FILE, compression="zstd")
    if data.features is not None:
        item_features.save(data.features, folder)


def load(folder: Path) -> Sequences:
    """The dataset from its canonical files; raises `JobError` `invalid_input` when they do not fit together."""
    events = parquet.read_table(folder / EVENTS_FILE)
    rows = parquet.read_table(folder / SEQUENCES_FILE)
    items = parquet.read_table(folder / ITEMS_FILE)
    data = Sequences(
        bounds(rows["length"].to_numpy()),
        events["item"].to_numpy(),
        _text(items["item_id"]),
        events["split"].to_numpy(),
        _text(rows["sequence_id"]),
        events["time"].to_numpy() if "time" in events.column_names else None,
        rows["weight"].to_numpy() if "weight" in rows.column_names else None,
        _text(items["title"]) if "title" in items.column_names else None,
        item_features.load(folder, len(items)),
        json.loads((events.schema.metadata or {}).get(_OPTIONS, b"{}")),
    )
    inside = not len(data.items) or 0 <= data.items.min() <= data.items.max() < data.n_items
    if data.indptr[-1] != len(data.items) or not inside:
        raise JobError("invalid_input", "The events do not fit the sequences and items of the version.")
    return data


def _text(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.to_pylist(), dtype=str)


def statistics(folder: Path) -> dict[str, Any]:
    """What the user is told about a version: sizes, lengths, split, tied times, how popularity is spread."""
    data = load(folder)
    lengths, events = np.diff(data.indptr), len(data.items)
    per_item = np.sort(np.bincount(data.items, minlength=data.n_items))[::-1]
    head = max(1, round(data.n_items / 100))
    train = data.training()
    found: dict[str, Any] = {
        "events": events,
        "sequences": len(data),
        "items": data.n_items,
        "density": events / max(1, len(data) * data.n_items),
        "training_sequences": len(train),
        "training_events": len(train.items),
        "events_per_split": {name: int((data.split == code).sum()) for code, name in SPLIT_NAMES.items()},
        "sequences_with_validation": len(data.cases("validation")),
        "sequences_with_test": len(data.cases("test")),
        "events_per_sequence": spread(lengths),
        "events_per_item": spread(per_item),
        "top_1_percent_item_share": float(per_item[:head].sum() / max(1, events)),
        "options": dict(data.options),
    }
    if data.features is not None:
        found["item_features"] = data.features.about()
    if data.times is not None and events:
        found["time_range"] = [int(data.times.min()), int(data.times.max())]
        found["share_of_tied_times"] = share_of_tied_times(data)
    return found


def share_of_tied_times(data: Sequences) -> float:
    """Share of events that have the time of the one before in their sequence: their order is that of the file. The
    data must have times."""
    assert data.times is not None  # noqa: S101 - asked for only then
    same = data.times[1:] == data.times[:-1]
    same[data.indptr[1:-1][(data.indptr[1:-1] > 0) & (data.indptr[1:-1] < len(data.items))] - 1] = False
    return float(same.sum() / len(data.items))


def preview(folder: Path, rows: int = 20) -> list[dict[str, Any]]:
    """The first sequences with the user's own ids, up to 20 events of each."""
    data = load(folder)
    names = data.vocabulary if data.titles is None else data.titles
    shown = []
    for number in range(min(rows, len(data))):
        at = slice(int(data.indptr[number]), int(data.indptr[number]) + 20)
        stop = int(data.indptr[number + 1])
        at = slice(at.start, min(at.stop, stop))
        line: dict[str, Any] = {
            "sequence_id": str(data.ids[number]),
            "length": stop - int(data.indptr[number]),
            "events": [str(name) for name in names[data.items[at]]],
            "split": [SPLIT_NAMES[int(code)] for code in data.split[at]],
        }
        if data.times is not None:
            line["times"] = [int(time) for time in data.times[at]]
        shown.append(line)
    return shown
