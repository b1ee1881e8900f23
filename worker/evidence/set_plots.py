"""Plots of what is in the training sets themselves: one line a set, the summary's in front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from worker.evidence.plot import Plot, Series
from worker.evidence.training import Contender


def line_of(one: Contender, x: np.ndarray, y: np.ndarray) -> Series:
    """A set's line through points x, y (n,); that of a summary is stressed."""
    stress = (one.record.label,) if one.record.role == "summary" else ()
    return Series(one.record.label, tuple(x.tolist()), tuple(y.tolist()), stress=stress)


def popularity(sets: Sequence[Contender], per_item: Callable[[Any], np.ndarray]) -> Plot:
    """Share of events by item, items in the order of their popularity in the first set, the full data (log-spaced
    ranks). `per_item(training set)`: events of each item (I,)."""
    order = np.argsort(-per_item(sets[0].draws[0]), kind="stable")
    edges = np.unique(np.geomspace(1, len(order) + 1, 25).round().astype(int))
    ranks = (edges[:-1] + edges[1:] - 1) / 2
    lines: list[Series] = []
    for one in sets:
        counts = per_item(one.draws[0])[order]
        shares = 100 * np.add.reduceat(counts, edges[:-1] - 1) / np.diff(edges) / max(counts.sum(), 1e-12)
        there = shares > 0
        lines.append(line_of(one, ranks[there], shares[there]))
    return Plot(
        "popularity",
        "How popular items are, before and after",
        "Mean share of all events per item, by the item's rank in the full data. Lines that lie apart on the right "
        "show that a set leaves out or overstates rare items.",
        "line",
        "rank of the item in the full data (log scale)",
        "share of events (%, log scale)",
        tuple(one for one in lines if one.x),
        log_x=True,
        log_y=True,
        n=len(order),
    )
