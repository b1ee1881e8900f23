"""A summary of interactions: a few user rows, real or synthetic, that stand for all of them, in memory and as files.

What is read back is, bit for bit, what was measured:

    summary_hard.npz    the 0/1 form, where it is delivered: the items of every row
    summary_weighted.npz  0/1 rows and how many users each stands for
    summary_ranked.npz  every row's items in falling order, and one curve for their values
    summary_soft.npz    the soft form, 8-bit codes with a scale per row unless another form was asked for
    summary_float.npz   the float32 form, when the one above is quantised
    summary.inter       the 0/1 rows as events under a typed header (RecBole's): synth_0001 or the real user's id
    item_map.csv        column number -> item id
    mask.npy            which training events were kept, for a selection of real rows
    load.py             a loader that needs numpy and scipy only
    summary.json        forms, ridge, where it comes from
    dataset/            the 0/1 rows (with their weights) as canonical files of a dataset version, all training events

The same summary gives the same bytes: archives carry a fixed time, and nothing depends on the clock.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.product import Origin, Product
from worker.kinds.interactions import dataset, forms
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import coded_weights, sorted_rows
from worker.kinds.interactions.leaks import held_out_events
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.splits import TRAIN
from worker.numerics.npz import write_npz

Rows = sparse.csr_array
FORMAT = "distillery-interactions"
VERSION = 3
FILES = {
    "hard": "summary_hard.npz",
    "weighted": "summary_weighted.npz",
    "ranked": "summary_ranked.npz",
    "soft8": "summary_soft.npz",
    "soft4": "summary_soft.npz",
    "soft": "summary_soft.npz",
}
_FORMULA = "=+-@\t\r'"  # a spreadsheet would run a cell that starts so; the quote itself keeps the escape reversible

LOADER = '''"""Load this summary: `rows` is a users x items matrix, `items` the item id of each column, and
`weights` how many users each row stands for."""
import csv, pathlib
import numpy as np
from scipy import sparse

here = pathlib.Path(__file__).resolve().parent
with open(here / "item_map.csv", newline="", encoding="utf-8") as lines:
    items = [i[1:] if i.startswith("'") else i for i in (line["item_id"] for line in csv.DictReader(lines))]


def load(file=%(file)r):
    with np.load(here / file) as z:
        if "codes" in z:  # a dense table of codes times the scale of each row
            codes = z["codes"]
            if z["bits"] == 4:
                codes = np.stack([codes >> 4, codes & 15], 2).reshape(len(codes), -1)[:, : len(items)]
            return sparse.csr_matrix(codes * z["scale"][:, None])
        data = z["data"].astype("f4") if "data" in z else np.ones(len(z["indices"]), "f4")
        if "curve" in z:  # items lie in falling order, and their place in the row says their value
            start = z["indptr"].astype("i8")
            data = z["curve"].astype("f4")[np.arange(len(data)) - np.repeat(start[:-1], np.diff(start))]
        rows = sparse.csr_matrix((data, z["indices"], z["indptr"]), z["shape"])
        return (sparse.diags(z["scale"]) @ rows).tocsr() if "scale" in z else rows



def load_weights(file=%(file)r):
    with np.load(here / file) as z:
        if "weight" not in z:
            return np.ones(load(file).shape[0], "f4")
        return (np.float64(z["weight_scale"]) * 10.0 ** (4 * (z["weight"] / 255 - 1))).astype("f4")


rows, weights = load(), load_weights()
'''


@dataclass(frozen=True)
class InteractionsSummary(Product):
    """What a distil or select job delivers.

    `rows`: CSR float32 (n, I), values in (0, 1], the delivered primary form, of the name `form` (`soft`, `hard`,
    `soft8` and `soft4`, soft in 8 and 4 bits, `ranked`: values by place in the row, or `weighted`: 0/1 rows that stand
    for `weights` (n,) users each).
    `hard`: the same rows as 0/1 (n, I). `item_ids` (I,): the dataset's item ids as strings. `forms`: further delivered
    forms, by name; each is judged. `ridges`: by form, the ridge that was best for it on validation users. `real_rows`:
    the rows are rows of real users, whose ids are `row_ids` (n,).
    """

    type: ClassVar[str] = "rows"

    rows: Rows
    hard: Rows
    item_ids: np.ndarray
    form: str = "hard"
    forms: dict[str, Rows] = field(default_factory=dict[str, Rows])
    origin: Origin = field(default_factory=Origin)
    ridges: dict[str, float] = field(default_factory=dict[str, float])
    real_rows: bool = False
    warnings: tuple[str, ...] = ()
    row_ids: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        """ValueError when a form does not fit the items, has values outside (0, 1], or an unknown name."""
        if self.form not in forms.LABELS or not set(self.forms) <= set(forms.LABELS):
            raise ValueError(f"the forms of a summary are {', '.join(forms.LABELS)}")
        if (self.weights is not None) != (self.form == "weighted") or "weighted" in self.forms:
            raise ValueError("weights belong to the primary form `weighted`")
        for name, one in [*self.delivered().items(), ("hard", UserRows(self.hard, self.weights))]:
            rows = one.matrix
            if rows.shape != (self.n_rows, len(self.item_ids)):
                raise ValueError(f"form {name}: {rows.shape} is not rows x items {self.n_rows, len(self.item_ids)}")
            if not ((rows.data > 0) & (rows.data <= 1)).all():
                raise ValueError(f"form {name} has values outside (0, 1]")

    @classmethod
    def of_users(
        cls,
        rows: UserRows,
        item_ids: np.ndarray,
        *,
        origin: Origin,
        row_ids: np.ndarray,
        warnings: tuple[str, ...] = (),
    ) -> InteractionsSummary:
        """A summary made of the rows (n, I), whole or in part, of the real users with these ids (n,).

        Weights are rounded to what one byte holds.
        """
        matrix = sorted_rows(rows.matrix)
        matrix.data = np.ones_like(matrix.data)
        return cls(
            matrix,
            matrix,
            item_ids,
            "hard" if rows.weights is None else "weighted",
            origin=origin,
            real_rows=True,
            warnings=warnings,
            row_ids=row_ids,
            weights=None if rows.weights is None else coded_weights(rows.weights),
        )

    @property
    def n_rows(self) -> int:
        """User rows n."""
        return self.rows.shape[0]

    @property
    def n_events(self) -> int:
        """Stored events of the primary form."""
        return self.rows.nnz

    def delivered(self) -> dict[str, UserRows]:
        """Every delivered form by name, the primary one first."""
        further = {name: UserRows(rows) for name, rows in self.forms.items() if name != self.form}
        return {self.form: UserRows(self.rows, self.weights)} | further

    def write(self, folder: Path, data: Interactions | None = None) -> None:
        """Write all files into `folder`, which is made if need be.

        With `data`, the dataset it was made of, items carry their titles, and a selection of real rows its `mask.npy`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        files = self._write_forms(folder)
        ids = row_ids(self)
        _write_inter(folder / "summary.inter", UserRows(self.hard, self.weights), ids, self.item_ids)
        titles = None if data is None else data.titles
        _write_items(folder / "item_map.csv", self.item_ids, titles)
        (folder / "load.py").write_text(LOADER % {"file": files[self.form]}, encoding="utf-8")
        about = {
            "format": FORMAT,
            "version": VERSION,
            "form": self.form,
            "forms": [[form, file] for form, file in files.items()],
            "rows": int(self.rows.shape[0]),
            "items": int(self.rows.shape[1]),
            "events": int(self.rows.nnz),
            "real_rows": self.real_rows,
            "lambda": self.ridges.get(self.form),
            "lambdas": self.ridges,
            "origin": self.origin.to_json(),
            "warnings": list(self.warnings),
        }
        text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        _write_dataset(self, ids, titles, folder / "dataset")
        if data is not None and self.real_rows:
            np.save(folder / "mask.npy", training_mask(data, self))

    def _write_forms(self, folder: Path) -> dict[str, str]:
        """Every delivered form in its file; returns the files by form, the primary one first."""
        files: dict[str, str] = {}
        for form, rows in self.delivered().items():
            taken = FILES[form] in files.values()  # the float form of a quantised summary
            files[form] = "summary_float.npz" if taken else FILES[form]
            write_npz(folder / files[form], forms.arrays(rows, form))
        return files

    @classmethod
    def read(cls, folder: Path) -> InteractionsSummary:
        """The summary back from its files. Raises `ValueError` for files that are not such a bundle."""
        about = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        if about.get("format") != FORMAT or about.get("version") != VERSION:
            raise ValueError(f"{folder} is not a bundle of this kind and version")
        stored = dataset.load(folder / "dataset")
        delivered = {form: forms.read(folder / file) for form, file in about["forms"]}
        primary = delivered.pop(about["form"])
        return cls(
            rows=primary.matrix,
            hard=sorted_rows(stored.train),
            item_ids=stored.item_ids,
            form=about["form"],
            forms={form: rows.matrix for form, rows in delivered.items()},
            origin=Origin.from_json(about["origin"]),
            ridges=about["lambdas"],
            real_rows=about["real_rows"],
            warnings=tuple(about["warnings"]),
            row_ids=stored.user_ids if about["real_rows"] else None,
            weights=primary.weights,
        )

    def judge(self, data: Interactions, params: Any, ctx: Context) -> Any:
        """Measure it beside the full data and cheap picks; see `worker.kinds.interactions.judge`."""
        from worker.kinds.interactions.judge import judge  # learners need torch, which reading a summary does not

        return judge(data, [self], params, ctx)


def adopt(data: Interactions, subset: Interactions) -> InteractionsSummary:
    """A dataset version as a summary of `data`: its events, whatever their split in it, matched by item id.

    Left out with a warning: events on items that `data` does not have, and those that `data` asks its users for in
    validation or test, since who was trained on the answers keeps more than the truth. Users are matched by id. Raises
    `JobError` `invalid_input` when nothing is left.
    """
    position = {item: column for column, item in enumerate(data.item_ids.tolist())}
    columns = np.array([position.get(item, -1) for item in subset.item_ids.tolist()], dtype=np.int64)
    item = columns[subset.events.item]
    known = item >= 0
    if not known.any():
        raise JobError(
            "invalid_input",
            "The subset and the dataset have no item in common.",
            hint="Use the same item ids in both uploads.",
            pointer="/inputs/summary",
        )
    held_out = known & held_out_events(data, subset.user_ids[subset.events.user], item)
    kept = known & ~held_out
    if not kept.any():
        raise JobError(
            "invalid_input",
            "The subset holds nothing but validation and test events of the dataset, which nothing may be trained on.",
            hint="Make it of training events.",
            pointer="/inputs/summary",
        )
    missing, answers = int((~known).sum()), int(held_out.sum())
    said = []
    if missing:
        said.append(f"{missing} events of the subset are on items that the dataset does not have; they were left out.")
    if answers:
        said.append(
            f"{answers} events of the subset are validation or test events of the dataset; they were left out, since "
            "nothing may be trained on what it is asked."
        )
    rows = Rows(
        (np.ones(int(kept.sum()), np.float32), (subset.events.user[kept], item[kept])),
        shape=(subset.n_users, data.n_items),
    )
    filled = np.flatnonzero(np.diff(rows.indptr))
    return InteractionsSummary.of_users(
        UserRows(rows, subset.weights).take(filled),
        data.item_ids,
        origin=Origin("uploaded subset"),
        row_ids=subset.user_ids[filled],
        warnings=tuple(said),
    )


def row_ids(summary: InteractionsSummary) -> np.ndarray:
    """User id of each row: the real one, or synth_0001, synth_0002, ..."""
    if summary.row_ids is not None:
        return np.asarray(summary.row_ids, dtype=str)
    width = max(4, len(str(summary.rows.shape[0])))
    return np.array([f"synth_{number:0{width}d}" for number in range(1, summary.rows.shape[0] + 1)])


def _write_inter(file: Path, delivered: UserRows, users: np.ndarray, items: np.ndarray) -> None:
    rows = sorted_rows(delivered.matrix)
    owner = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    heading = ["user_id:token", "item_id:token", "rating:float"]
    columns = [users[owner], items[rows.indices], [f"{value:g}" for value in rows.data]]
    if delivered.weights is not None:
        heading.append("row_weight:float")
        columns.append([f"{weight:g}" for weight in delivered.weights[owner]])
    with file.open("w", newline="", encoding="utf-8") as out:
        lines = csv.writer(out, delimiter="\t", lineterminator="\n")
        lines.writerow(heading)
        lines.writerows(zip(*columns, strict=True))


def _write_items(file: Path, items: np.ndarray, titles: np.ndarray | None) -> None:
    columns = [items] if titles is None else [items, titles]
    with file.open("w", newline="", encoding="utf-8") as out:
        # RFC 4180 line ends: with "\n" alone the module leaves cells with a carriage return unquoted, and what follows
        # the return would then begin a cell, unescaped.
        lines = csv.writer(out, lineterminator="\r\n")
        lines.writerow(["index", "item_id", "title"][: 1 + len(columns)])
        for number, cells in enumerate(zip(*columns, strict=True)):
            lines.writerow([number, *(escape_formula(str(cell)) for cell in cells)])


def escape_formula(text: str) -> str:
    """A leading quote for cells that a spreadsheet would take for a formula."""
    return "'" + text if text[:1] in _FORMULA and text else text


def unescape_formula(text: str) -> str:
    """The reverse of `escape_formula`."""
    return text[1:] if text.startswith("'") else text


def _write_dataset(summary: InteractionsSummary, users: np.ndarray, titles: np.ndarray | None, folder: Path) -> None:
    """The 0/1 rows, with their weights, as canonical files of a dataset version, every event in the training part."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = sorted_rows(summary.hard)
    owner = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    split = np.full(rows.nnz, TRAIN)
    version = Interactions.from_columns(
        owner,
        rows.indices,
        split,
        user_ids=users,
        item_ids=summary.item_ids,
        titles=titles,
        weights=summary.weights,
    )
    dataset.save(version, folder)


def training_mask(data: Interactions, summary: InteractionsSummary) -> np.ndarray:
    """Which of the dataset's training events (in the order of its file) are in a summary of real rows; bool."""
    number = {user: row for row, user in enumerate(data.user_ids.tolist())}
    rows = sorted_rows(summary.hard)
    users = np.array([number[user] for user in row_ids(summary).tolist()], dtype=np.int64)
    kept = np.repeat(users, np.diff(rows.indptr)) * data.n_items + rows.indices
    events = data.events.take(data.events.split == TRAIN)
    return np.isin(events.user.astype(np.int64) * data.n_items + events.item, kept)
