"""A table with a column to predict: in memory, as canonical files, and what a user is told about it.

Canonical files of a version: `table.parquet`, every kept column of the upload in its own type, `__split__` (int8) and,
in versions made of summaries, `__weight__` (float32); and `schema.json`. The split is drawn at ingest and lies in the
version, so every job on a version holds out the same rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from worker.ingest.arrow import Arrow
from worker.kinds.table.encode import Encoding
from worker.kinds.table.strata import quantile_bins
from worker.kinds.table.values import codes, numbers, shown

TRAIN, VALIDATION, TEST = 0, 1, 2
PARTS = ("train", "validation", "test")
TABLE_FILE, SCHEMA_FILE = "table.parquet", "schema.json"
SPLIT, WEIGHT = "__split__", "__weight__"
Task = Literal["classification", "regression"]
_PREVIEW = 20


@dataclass(frozen=True)
class Rows:
    """What a learner is trained on or asked about: `x` (n, D) float32, encoded; `y` (n,), int64 codes of classes or
    float64 targets; `weight` (n,) float64, mean 1."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> Rows:
        """Some of them."""
        return Rows(self.x[rows], self.y[rows], self.weight[rows])


@dataclass(frozen=True)
class Schema:
    """What the columns are. `kinds`: `number` or `category` by feature, in order; `classes`: the words of the label, in
    order, none in regression; `bins`: of a number to predict; `split`: where the split is from, in words."""

    label: str
    task: Task
    kinds: Mapping[str, str]
    classes: tuple[str, ...] = ()
    bins: int = 5
    split: str = "random"

    def to_json(self) -> dict[str, Any]:
        """As JSON; kinds are a list of pairs, whose order JSON keeps."""
        return {
            "label": self.label,
            "task": self.task,
            "kinds": [[name, kind] for name, kind in self.kinds.items()],
            "classes": list(self.classes),
            "bins": self.bins,
            "split": self.split,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Schema:
        """Back from its JSON."""
        return cls(**{**stored, "kinds": dict(stored["kinds"]), "classes": tuple(stored["classes"])})


@dataclass(frozen=True)
class Table:
    """`frame`: the columns of the upload (Arrow), label included, n rows; `split`: int8 (n,), see `PARTS`; `weights`:
    float32 (n,), what each row counts, in versions made of summaries."""

    frame: Arrow
    schema: Schema
    split: np.ndarray
    weights: np.ndarray | None = None
    fitted: Encoding | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.split)

    @property
    def classification(self) -> bool:
        """Whether classes are predicted, not numbers."""
        return self.schema.task == "classification"

    @cached_property
    def target(self) -> np.ndarray:
        """(n,): int64 codes into the classes, or float64."""
        return target_of(self.frame[self.schema.label], self.schema)

    @cached_property
    def encoding(self) -> Encoding:
        """Fitted on the training part."""
        if self.fitted is not None:
            return self.fitted
        return Encoding.fit(self.frame.take(pa.array(np.flatnonzero(self.split == TRAIN))), self.schema.kinds)

    @cached_property
    def train(self) -> Rows:
        """The training part, encoded."""
        return self.rows(np.flatnonzero(self.split == TRAIN))

    @cached_property
    def strata(self) -> np.ndarray:
        """The class or bin (t,) of every training row."""
        y = self.train.y
        return y if self.classification else quantile_bins(y, self.schema.bins)

    @cached_property
    def masses(self) -> np.ndarray:
        """Weight of the training rows of each stratum (k,)."""
        count = len(self.schema.classes) if self.classification else int(self.strata.max(initial=0)) + 1
        return np.bincount(self.strata, self.train.weight, minlength=count)

    def rows(self, numbered: np.ndarray) -> Rows:
        """Rows by their numbers, encoded."""
        weights = None if self.weights is None else self.weights[numbered]
        x = self.encoding.transform(self.frame.take(pa.array(numbered)))
        return Rows(x, self.target[numbered], mean_one(weights, len(numbered)))

    def part(self, code: int) -> Rows:
        """The rows of one part of the split, encoded."""
        return self.train if code == TRAIN else self.rows(np.flatnonzero(self.split == code))


def target_of(column: Arrow, schema: Schema) -> np.ndarray:
    """A label column (n,) as int64 codes into the classes, -1 for a word that is none, or as float64."""
    if schema.task == "regression":
        return numbers(column)
    found, words = codes(column)
    place = {word: at for at, word in enumerate(schema.classes)}
    return np.array([place.get(word, -1) for word in words], np.int64)[found] if len(found) else found


def mean_one(weights: np.ndarray | None, count: int) -> np.ndarray:
    """Weights (n,), above 0, as float64 of mean 1; None stands for equal ones."""
    if weights is None or not count:
        return np.ones(count)
    return np.asarray(weights, np.float64) / weights.mean(dtype=np.float64)


def save(table: Table, folder: Path) -> None:
    """Write the canonical files."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = table.frame.replace_schema_metadata(None).append_column(SPLIT, pa.array(table.split, pa.int8()))
    if table.weights is not None:
        frame = frame.append_column(WEIGHT, pa.array(table.weights, pa.float32()))
    parquet.write_table(frame, folder / TABLE_FILE, compression="zstd")
    text = json.dumps(table.schema.to_json(), indent=1, ensure_ascii=False)
    (folder / SCHEMA_FILE).write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> Table:
    """Read the canonical files."""
    frame = parquet.read_table(folder / TABLE_FILE).combine_chunks()
    schema = Schema.from_json(json.loads((folder / SCHEMA_FILE).read_text(encoding="utf-8")))
    split = frame[SPLIT].to_numpy().astype(np.int8)
    weights = frame[WEIGHT].to_numpy().astype(np.float32) if WEIGHT in frame.column_names else None
    kept = [name for name in frame.column_names if name not in {SPLIT, WEIGHT}]
    return Table(frame.select(kept), schema, split, weights)


def describe(folder: Path) -> dict[str, Any]:
    """{statistics, preview, warnings} of canonical files."""
    table = load(folder)
    return {"statistics": _statistics(table), "preview": _preview(table), "warnings": []}


def _statistics(table: Table) -> dict[str, Any]:
    schema = table.schema
    sizes = {f"rows_{name}": int((table.split == code).sum()) for code, name in enumerate(PARTS)}
    found: dict[str, Any] = {
        "rows": len(table),
        **sizes,
        "columns": len(schema.kinds),
        "numbers": sum(kind == "number" for kind in schema.kinds.values()),
        "categories": sum(kind == "category" for kind in schema.kinds.values()),
        "encoded_columns": table.encoding.width,
        "missing_cells": int(sum(table.frame[name].null_count for name in schema.kinds)),
        "task": schema.task,
        "label": schema.label,
        "classes": len(schema.classes),
    }
    if table.classification:
        counts = np.bincount(table.target, minlength=len(schema.classes))
        most = np.argsort(-counts, kind="stable")[:50]
        return found | {"labels": {schema.classes[at]: int(counts[at]) for at in most}}
    ends = np.quantile(table.target, [0, 0.25, 0.5, 0.75, 1]).tolist()
    return found | {"label_quantiles": dict(zip(("min", "q25", "median", "q75", "max"), ends, strict=True))}


def _preview(table: Table) -> list[dict[str, Any]]:
    first = table.frame.slice(0, _PREVIEW)
    columns = {name: shown(first[name]) for name in first.column_names}
    return [
        {name: cells[at] for name, cells in columns.items()} | {"split": PARTS[table.split[at]]}
        for at in range(len(first))
    ]
