"""What a summary of a table is compared with: the full data, random rows, and medoids, of the same labels.

Alternatives have as many rows of every class (or bin) as the summary, so that nothing differs but which rows they
are. All have the same columns, so that equal rows take about equal bytes. Neither they nor the summary count rows by
weights: those of the summary, which bring its classes back to their shares, make a further form of it, measured beside.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from worker.contract.context import Context, seed_of
from worker.evidence.measurements import Role, TrainingSet
from worker.evidence.training import Contender
from worker.kinds.table.dataset import TRAIN, Rows, Table
from worker.kinds.table.predictor import TrainingRows
from worker.kinds.table.selection import Picker, at_random, medoids, spread
from worker.kinds.table.summary import TableSummary, csv_bytes

PICKS: dict[str, tuple[str, Picker]] = {"random": ("random rows", at_random), "k-medoids": ("medoids", medoids)}


def contenders(
    data: Table, summaries: Sequence[TableSummary], picks: Sequence[str], *, draws: int, ctx: Context
) -> list[Contender]:
    """The full data, the summaries, each without and with its weights, and the alternatives of each."""
    classes = len(data.schema.classes)
    train = np.flatnonzero(data.split == TRAIN)
    whole = _whole(data, train)
    found = [Contender(whole, (TrainingRows(data.train, classes),))]
    for number, summary in enumerate(summaries):
        name = "summary" if not number else f"summary-{number + 1}"
        label = "this summary" if len(summaries) == 1 else f"summary {number + 1}: {summary.origin.method or 'given'}"
        encoded = summary.encoded
        content = csv_bytes(summary.frame, summary.weights)
        record = _record(name, label, "summary", len(summary), content, summary.origin.method)
        found.append(Contender(record, (TrainingRows(unweighted(encoded), classes),)))
        if np.ptp(summary.weights) > 1e-6:
            form = _record(f"{name}-weighted", f"{label} with its weights", "form", len(summary), content, of=name)
            found.append(Contender(form, (TrainingRows(encoded, classes),)))
        for method in picks:
            found += _alternatives(data, train, summary, record, method, draws, ctx)
    return found


def unweighted(rows: Rows) -> Rows:
    """The same rows, all of one weight."""
    return Rows(rows.x, rows.y, np.ones(len(rows)))


def strata_of(data: Table, summary: TableSummary) -> np.ndarray:
    """The class or bin (s,) of every row of a summary, by the bins of the training part."""
    y = summary.encoded.y
    if data.classification:
        return y
    order = np.argsort(data.train.y, kind="stable")
    place = np.searchsorted(data.train.y[order], y).clip(max=len(order) - 1)
    return data.strata[order][place]


def _alternatives(
    data: Table, train: np.ndarray, summary: TableSummary, record: TrainingSet, method: str, draws: int, ctx: Context
) -> list[Contender]:
    label, pick = PICKS[method]
    counts = np.bincount(strata_of(data, summary), minlength=len(data.masses))
    counts = np.minimum(counts, np.bincount(data.strata, minlength=len(counts)))
    drawn: list[TrainingRows] = []
    largest = b""
    for draw in range(draws if method == "random" else 1):
        with ctx.part(f"{record.name} {method} {draw}", seed=seed_of(ctx.seed, f"{method} {draw}")) as part:
            rows = spread(data.train.x, data.train.weight, data.strata, counts, pick, part)
        largest = max(largest, csv_bytes(data.frame.take(train[rows]), None), key=len)
        drawn.append(TrainingRows(unweighted(data.train.take(rows)), len(data.schema.classes)))
    suffix = "" if record.name == "summary" else f"-{record.name}"
    beside = "" if record.name == "summary" else f" (as {record.name.replace('-', ' ')})"
    made = _record(f"{method}{suffix}", f"{label}{beside}", "baseline", int(counts.sum()), largest, method)
    return [Contender(made, tuple(drawn))]


def _whole(data: Table, train: np.ndarray) -> TrainingSet:
    weights = None if data.weights is None else data.weights[train]
    return _record("full", "full data", "full", len(train), csv_bytes(data.frame.take(train), weights))


def _record(
    name: str, label: str, role: Role, rows: int, content: bytes, method: str = "", of: str = ""
) -> TrainingSet:
    return TrainingSet(
        name, label, role, rows, float(rows), len(content), "CSV", method, "rows", len(zlib.compress(content, 6)), of
    )
