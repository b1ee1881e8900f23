"""A summary of a table: a few rows in the columns and types of the upload, with weights, in memory and as files.

What is read back is, bit for bit, what was measured:

    summary.parquet   the rows, every column in its own type, and `__weight__`
    summary.csv       the same as text
    schema.json       what the columns are, and the encoding under which everything was measured
    rows.csv          for real rows: their numbers in the version's table, from 0
    load.py           a loader that needs pyarrow and numpy
    summary.json      where it comes from
    dataset/          the rows as canonical files of a dataset version, all for training

Weights give the classes (or bins) of the summary the shares that they have in the source.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.product import Origin, Product
from worker.ingest.arrow import Arrow, pc
from worker.kinds.table import dataset
from worker.kinds.table.dataset import TRAIN, WEIGHT, Rows, Schema, Table, mean_one, target_of
from worker.kinds.table.encode import Encoding
from worker.kinds.table.leaks import held_out_rows
from worker.kinds.table.values import is_number, is_word, texts

FORMAT, VERSION = "distillery-table", 1

LOADER = '''"""Load this summary: `table` (Arrow; `table.to_pandas()` with pandas) in the columns of the upload,
`weights` of its rows, `label` its column to predict, and `encode(table)`: the features as the judge encoded them."""
import json, pathlib, zlib
import numpy as np, pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq

here = pathlib.Path(__file__).resolve().parent
schema = json.loads((here / "schema.json").read_text(encoding="utf-8"))
stored = pq.read_table(here / "summary.parquet")
table, weights, label = stored.drop_columns(["__weight__"]), stored["__weight__"].to_numpy(), schema["label"]


def _number(column, code):
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())
    x = pc.fill_null(column.cast(pa.float64(), safe=False), np.nan).to_numpy()
    gaps = ~np.isfinite(x)
    x = np.where(gaps, code["median"], x)
    x = np.log1p(np.maximum(x, 0)) if code["log"] else x
    x = np.clip((x - code["mean"]) / code["scale"], -10, 10)
    return np.column_stack([x, gaps] if code["missing"] else [x])


def _words(column):
    return (column.cast(pa.int64()) if pa.types.is_duration(column.type) else column).cast(pa.string())


def _category(column, code):
    words, buckets, known = pc.fill_null(_words(column), "").to_pylist(), code["buckets"], code["levels"]
    x, place = np.zeros((len(words), buckets or len(known) + code["rare"])), {w: k for k, w in enumerate(known)}
    for row, word in enumerate(words):
        k = zlib.crc32(word.encode()) % buckets if buckets else place.get(word, len(known) if code["rare"] else -1)
        if k >= 0:
            x[row, k] = 0.5**0.5
    return x


def encode(table):
    codes = ((_number if c["kind"] == "number" else _category)(table[c["name"]], c) for c in schema["encoding"])
    return np.column_stack(list(codes)).astype("f4")
'''


@dataclass(frozen=True)
class TableSummary(Product):
    """What a method makes of a table: `frame` (Arrow, s rows) in the source's columns and types, label included;
    `weights` float32 (s,); `rows` int64 (s,): numbers of the real rows they are, None where rows were made."""

    type: ClassVar[str] = "rows"

    frame: Arrow
    schema: Schema
    encoding: Encoding
    weights: np.ndarray
    rows: np.ndarray | None = None
    origin: Origin = field(default_factory=Origin)
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def encoded(self) -> Rows:
        """What learners are trained on."""
        weight = np.asarray(self.weights, np.float64)
        return Rows(self.encoding.transform(self.frame), target_of(self.frame[self.schema.label], self.schema), weight)

    def write(self, folder: Path, data: Table) -> None:
        """Write the delivered files."""
        stored = self.frame.append_column(WEIGHT, pa.array(self.weights, pa.float32()))
        parquet.write_table(stored, folder / "summary.parquet", compression="zstd")
        (folder / "summary.csv").write_bytes(csv_bytes(self.frame, self.weights))
        if self.rows is not None:
            (folder / "rows.csv").write_text("row\n" + "".join(f"{row}\n" for row in self.rows))
        schema = self.schema.to_json() | {"encoding": self.encoding.to_json()}
        _write_json(folder / "schema.json", schema)
        (folder / "load.py").write_text(LOADER, encoding="utf-8")
        about = {
            "format": FORMAT,
            "version": VERSION,
            "rows": len(self),
            "real_rows": self.rows is not None,
            "origin": self.origin.to_json(),
            "warnings": list(self.warnings),
        }
        _write_json(folder / "summary.json", about)
        split = np.full(len(self), TRAIN, np.int8)
        dataset.save(Table(self.frame, self.schema, split, self.weights), folder / "dataset")

    @classmethod
    def read(cls, folder: Path) -> TableSummary:
        """The summary back from its files. Raises `ValueError` for files that are not such a bundle."""
        about = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        if about.get("format") != FORMAT or about.get("version") != VERSION:
            raise ValueError(f"{folder} is not a bundle of this kind and version")
        schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
        encoding = Encoding.from_json(schema.pop("encoding"))
        stored = parquet.read_table(folder / "summary.parquet").combine_chunks()
        rows: np.ndarray | None = None
        if about["real_rows"]:
            rows = np.array([int(line) for line in (folder / "rows.csv").read_text().split()[1:]], np.int64)
        return cls(
            stored.drop_columns([WEIGHT]),
            Schema.from_json(schema),
            encoding,
            stored[WEIGHT].to_numpy().astype(np.float32),
            rows,
            Origin.from_json(about["origin"]),
            tuple(about["warnings"]),
        )

    def judge(self, data: Table, params: Any, ctx: Context) -> Any:
        """Measure it beside the full data and cheap picks; see `worker.kinds.table.judge`."""
        from worker.kinds.table.judge import judge  # learners are slow to import, and reading a summary needs none

        return judge(data, [self], params, ctx)


def csv_bytes(frame: Arrow, weights: np.ndarray | None) -> bytes:
    """Rows as the CSV that a user downloads, with their weights where there are any."""
    if weights is not None:
        frame = frame.append_column(WEIGHT, pa.array(weights, pa.float32()))
    for at, column in enumerate(frame.columns):  # a decimal or a duration is written as text
        if not (is_word(column.type) or pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            frame = frame.set_column(at, frame.column_names[at], texts(column))
    out = io.BytesIO()
    csv.write_csv(frame, out, csv.WriteOptions(quoting_style="needed"))
    return out.getvalue()


def of_rows(data: Table, rows: np.ndarray, weights: np.ndarray, origin: Origin) -> TableSummary:
    """Real rows, by their numbers in the table (s,)."""
    frame = data.frame.take(pa.array(rows)).combine_chunks()
    return TableSummary(frame, data.schema, data.encoding, weights, np.asarray(rows, np.int64), origin)


def adopt(data: Table, other: Table) -> TableSummary:
    """A dataset version as a summary of `data`: its rows, whatever their split in it, columns matched by name.

    Rows that `data` holds out for validation or test are left out with a warning, since who was trained on the answers
    keeps more than the truth. Raises `JobError` `invalid_input` where it lacks a column, holds what cannot be read as
    the column's type, or nothing but rows that are held out.
    """
    columns: dict[str, Arrow] = {}
    for name in data.frame.column_names:
        if name not in other.frame.column_names:
            raise _unfit(
                f"lacks the column {name!r}",
                "Upload a subset with all columns of the dataset; where this one was left out of it as one of ids, "
                f'with keep_columns=["{name}"].',
            )
        columns[name] = _as_type(other.frame[name], data.frame[name].type, name)
    frame = pa.table(columns)
    target = target_of(frame[data.schema.label], data.schema)
    known = target >= 0 if data.classification else np.isfinite(target)
    if not known.all():
        raise _unfit("has rows whose label the dataset does not have", "Leave such rows out of the subset.")
    weights = np.ones(len(other), np.float32) if other.weights is None else other.weights
    held_out = held_out_rows(data, frame)
    if held_out.all():
        raise _unfit("holds nothing but validation and test rows of the dataset", "Make it of training rows.")
    said: tuple[str, ...] = ()
    if held_out.any():
        kept = np.flatnonzero(~held_out)
        frame, weights = frame.take(pa.array(kept)), weights[kept]
        said = (
            f"{int(held_out.sum())} rows of the subset are validation or test rows of the dataset; they were left out, "
            "since nothing may be trained on what it is asked.",
        )
    said += tuple(
        f"The column {name!r} of the subset has words that the dataset does not have, such as {word[:40]!r}."
        for name in data.frame.column_names
        if (word := _unknown_word(frame[name], data.frame[name]))
    )
    if abs(weights.mean(dtype=np.float64) - 1) > 1e-6:
        weights = mean_one(weights, len(weights)).astype(np.float32)
    return TableSummary(frame, data.schema, data.encoding, weights, origin=Origin("uploaded subset"), warnings=said)


def _unknown_word(column: Arrow, known: Arrow) -> str:
    if not is_word(known.type):
        return ""
    seen = column.unique().drop_null()
    others = seen.filter(pc.invert(pc.is_in(seen, known.unique())))
    return others[0].as_py() if len(others) else ""


def _as_type(column: Arrow, kind: Arrow, name: str) -> Arrow:
    if column.type == kind:
        return column
    try:
        if is_number(kind) and is_word(column.type):
            column = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
        return column.cast(kind)
    except pa.ArrowException as unfit:
        raise _unfit(
            f"has other cells in the column {name!r} ({column.type}, not {kind})",
            "Write the column as the dataset has it.",
        ) from unfit


def _unfit(what: str, hint: str) -> JobError:
    return JobError("invalid_input", f"The subset {what}.", hint=hint, pointer="/inputs/summary")


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
