"""Condensed nodes that are a row of a train node: they give it away whatever an attack finds."""

from __future__ import annotations

import numpy as np

from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import dense
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.summary import CondensedGraph

MOST = 3e10  # multiplications beyond which nobody looks


def copied(data: Graph, summary: CondensedGraph, hops: int = 2) -> int:
    """How many condensed nodes are a row of a train node, raw or propagated (to 1e-6 of its length); 0 where comparing
    would take more than `MOST`."""
    seen = data.visible()
    if summary.whole or 2.0 * len(summary) * len(seen.train) * data.d > MOST:
        return 0
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
