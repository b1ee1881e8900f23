"""Condensed nodes that are a row of a train node: they give it away whatever an attack finds."""

from __future__ import annotations

import numpy as np

from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import dense
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.summary import CondensedGraph

MOST = 3e10  # multiplications beyond which nobody looks


def copied(data: Graph, summary: CondensedGraph, hops: int = 2) -> int | None:
    """How many condensed nodes are a row of a train node, raw or propagated (to 1e-6 of its length); None where
    comparing would take more than `MOST`. A sparsified graph holds every train node as it is."""
    seen = data.visible()
    if summary.whole:
        return len(data.train)
    if 2.0 * len(summary) * len(seen.train) * data.d > MOST:
        return None
    made = dense(summary.x).astype(np.float64)
    count = np.zeros(len(made), bool)
    for k in (0, hops):
        real = propagated(seen.operator, seen.x, k, seen.train).astype(np.float64)
        norms = (real**2).sum(axis=1)
        for row, one in enumerate(made):
            if not count[row]:
                distance = norms - 2 * (real @ one) + one @ one
                near = int(distance.argmin())
                count[row] = bool(((real[near] - one) ** 2).sum() <= 1e-12 * max(1e-12, norms[near]))
    return int(count.sum())


def said(data: Graph, summary: CondensedGraph) -> list[str]:
    """The warning that condensed nodes are rows of train nodes, or that nobody looked; nothing where none is."""
    equal = copied(data, summary)
    if equal is None:
        return ["Whether condensed nodes are rows of train nodes was not looked at: there are too many of both."]
    if not equal:
        return []
    return [
        f"{equal} of {len(summary)} condensed nodes are the row of a train node, as it is or propagated: they give "
        "that node away."
    ]
