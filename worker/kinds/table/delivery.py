"""From what a method picked to its summary: the budget spread over classes, prior weights, where it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.budget import Budget, resolve
from worker.contract.context import Context
from worker.contract.product import Origin
from worker.kinds.table.dataset import TRAIN, Table
from worker.kinds.table.selection import Picker, spread
from worker.kinds.table.snap import snapped
from worker.kinds.table.strata import Allocation, allocate, prior_weights
from worker.kinds.table.summary import TableSummary, csv_bytes, of_rows

_SAMPLE = 1_000


class RowsParams(BaseModel):
    """What every method of this kind takes."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = 100
    allocation: Allocation = Field(
        "balanced",
        description="How the budget is spread over classes (or bins): alike, by the root of their sizes, or by size.",
    )


def counts_of(data: Table, params: RowsParams) -> np.ndarray:
    """Rows of each stratum (k,) that the budget comes to. Raises `JobError` for a budget that cannot be."""
    room = np.bincount(data.strata, minlength=len(data.masses))
    total = resolve(
        params.budget,
        total_units=len(data.train),
        bytes_per_unit=row_bytes(data),
        lowest=int(np.count_nonzero(room)),
    )
    return allocate(data.masses, room, total, params.allocation)


def row_bytes(data: Table) -> float:
    """Bytes of a row of the CSV that is delivered, on average."""
    train = np.flatnonzero(data.split == TRAIN)
    sample = data.frame.take(pa.array(train[:: max(1, len(train) // _SAMPLE)]))
    weights = np.full(len(sample), np.pi, np.float32)  # as many digits as weights have
    return len(csv_bytes(sample, weights)) / max(1, len(sample))


def picked(data: Table, rows: np.ndarray, method: str, params: RowsParams, **more: Any) -> TableSummary:
    """The summary of these training rows (s,), numbered within the training part."""
    weights = prior_weights(data.strata[rows], data.masses)
    settings = params.model_dump() | {"rows": len(rows)} | more
    return of_rows(data, np.flatnonzero(data.split == TRAIN)[rows], weights, Origin(method, settings=settings))


def pick_by(
    data: Table, points: np.ndarray, pick: Picker, method: str, params: RowsParams, ctx: Context
) -> TableSummary:
    """The summary that a picker makes of training rows as points (t, P)."""
    rows = spread(points, data.train.weight, data.strata, counts_of(data, params), pick, ctx)
    return picked(data, rows, method, params)


def made(data: Table, points: np.ndarray, labels: np.ndarray, strata: np.ndarray, origin: Origin) -> TableSummary:
    """The summary of made rows: points (s, D) snapped to cells that occur, and for labels those of the training rows
    `labels` (s,); `strata` (s,) is the class or bin of each."""
    rows = np.flatnonzero(data.split == TRAIN)[labels]
    features = snapped(data, points)
    label = data.frame[data.schema.label].take(pa.array(rows)).combine_chunks()
    columns = {name: label if name == data.schema.label else features[name] for name in data.frame.column_names}
    weights = prior_weights(strata, data.masses)
    return TableSummary(pa.table(columns), data.schema, data.encoding, weights, origin=origin)
