"""The train nodes of each class with the highest PageRank (Page, Brin 1998), by power iteration.

p <- d M p + (1 - d + d m) / N, with M the column-normalised adjacency and m the mass on nodes without edges, until the
sum of changes is below 1e-4 or 100 times. O(E) time a step.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.selection import SELECT_COST, SelectParams, by_score, selected
from worker.kinds.graph.summary import CondensedGraph

TOLERANCE, STEPS = 1e-4, 100


class PageRankParams(SelectParams):
    """Parameters of `pagerank`."""

    damping: float = Field(0.85, ge=0.5, le=0.99, description="Probability of following an edge.")


@method(kind="graph", task="select", name="pagerank", version=1, cost=SELECT_COST)
def pagerank(data: Graph, params: PageRankParams, ctx: Context) -> CondensedGraph:
    """Real nodes with the highest PageRank in each class."""
    return selected(data, params, "pagerank", ctx, lambda seen, tick: by_score(ranks(seen, params.damping, tick)))


def ranks(graph: Graph, damping: float, tick: Callable[[], None] = lambda: None) -> np.ndarray:
    """PageRank float64 (N,), summing to 1."""
    strength = np.asarray(graph.adjacency.sum(axis=1, dtype=np.float64)).ravel()
    share = np.divide(1.0, strength, out=np.zeros_like(strength), where=strength > 0)
    p = np.full(graph.n, 1.0 / graph.n)
    for _ in range(STEPS):
        tick()
        lost = p[strength == 0].sum()
        moved = damping * (graph.adjacency @ (p * share)) + (1 - damping + damping * lost) / graph.n
        change, p = np.abs(moved - p).sum(), moved
        if change < TOLERANCE:
            break
    return p / p.sum()
