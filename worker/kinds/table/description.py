"""What a report shows of the data itself: how each column of a summary compares with the full data."""

from __future__ import annotations

import numpy as np

from worker.evidence.plot import Plot, Series
from worker.evidence.table import Cell, Column
from worker.evidence.table import Table as Shown
from worker.kinds.table.dataset import TRAIN, Rows, Table
from worker.kinds.table.encode import HEIGHT, NumberCode
from worker.kinds.table.summary import TableSummary


def columns_table(data: Table, summary: TableSummary) -> Shown:
    """A row a column: its mean or its most frequent level in the full data and in the weighted summary."""
    full, own = data.train, summary.encoded
    rows: list[dict[str, Cell]] = []
    for code, block in zip(data.encoding.codes, data.encoding.blocks, strict=True):
        before = np.average(full.x[:, block], axis=0, weights=full.weight)
        after = np.average(own.x[:, block], axis=0, weights=own.weight)
        if isinstance(code, NumberCode):
            apart = float(abs(after[0] - before[0]))
            rows.append({"column": code.name, "what": "number", "levels": None, "shift": apart, "moved": None})
        else:
            moved = 50 * float(np.abs(after - before).sum()) / HEIGHT
            used = int(np.count_nonzero((own.x[:, block] > 0).any(axis=0)))
            rows.append(
                {
                    "column": code.name,
                    "what": f"category of {code.width}",
                    "levels": used,
                    "shift": None,
                    "moved": moved,
                }
            )
    caption = (
        "How the columns of the weighted summary compare with the training part: the shift of a number's mean in "
        "standard deviations, the share of a category's mass that lies on other levels, and how many levels occur."
    )
    columns = (
        Column("column", "column", "text"),
        Column("what", "holds", "text"),
        Column("shift", "shift of the mean", unit="SD", decimals=2),
        Column("moved", "mass on other levels", unit="%"),
        Column("levels", "levels that occur", decimals=0),
    )
    return Shown("columns", caption, columns, tuple(rows), heading="Columns before and after")


def plots(data: Table, summary: TableSummary) -> tuple[Plot, ...]:
    """The label before and after."""
    rows = np.flatnonzero(data.split == TRAIN)
    full, own = data.train, summary.encoded
    if data.classification:
        classes = [word[:20] or "(blank)" for word in data.schema.classes][:40]
        shares = [_shares(one.y, weight, len(classes)) for one, weight in _weighted(full, own)]
        x: tuple[float | str, ...] = tuple(classes)
        kind, x_label = "bar", "class"
    else:
        edges = np.unique(np.quantile(full.y, np.linspace(0, 1, 21)))
        if len(edges) < 3:
            return ()
        shares = [_histogram(one.y, weight, edges) for one, weight in _weighted(full, own)]
        x, kind, x_label = tuple(edges.tolist()), "histogram", data.schema.label
    labels = ("full data", "this summary, weighted", "this summary, without weights")
    series = tuple(Series(label, x, tuple(share.tolist())) for label, share in zip(labels, shares, strict=True))
    return (
        Plot(
            "label",
            "The label before and after",
            "Share of rows by the value of the label: weights bring a summary back to the shares of the full data.",
            kind,
            x_label,
            "% of rows",
            series,
            n=len(rows),
        ),
    )


def _weighted(full: Rows, own: Rows) -> list[tuple[Rows, np.ndarray]]:
    return [(full, full.weight), (own, own.weight), (own, np.ones(len(own)))]


def _shares(y: np.ndarray, weight: np.ndarray, classes: int) -> np.ndarray:
    counts = np.bincount(y, weight, minlength=classes)[:classes]
    return 100 * counts / max(float(weight.sum()), 1e-30)


def _histogram(y: np.ndarray, weight: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts = np.histogram(y.clip(edges[0], edges[-1]), edges, weights=weight)[0]
    return 100 * counts / max(float(weight.sum()), 1e-30)
