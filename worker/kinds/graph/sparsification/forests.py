"""Spanning forests, one after another: each connects all that the edges left over still connect.

The union of the first k of them keeps every cut of at most k edges whole (Nagamochi and Ibaraki, Algorithmica 1992,
theorem 2.1), and the first alone keeps the connected components.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from worker.kinds.graph.sparsification.edges import Edges


def spanning_forests(
    edges: Edges, count: int, rng: np.random.Generator, tick: Callable[[], None] = lambda: None
) -> np.ndarray:
    """Numbers of `count` edges (count,): whole forests of the heaviest edges, ties at random, then part of the next.

    Fewer edges than the first forest has do not keep the components; whoever calls says so.
    """
    rank = np.empty(len(edges), np.int64)
    rank[np.lexsort((rng.random(len(edges)), -edges.weight))] = np.arange(1, len(edges) + 1)
    left = np.arange(len(edges))
    taken = np.zeros(0, np.int64)
    while len(taken) < count and len(left):
        tick()
        forest = _lightest_forest(edges, left, rank)
        taken = np.concatenate([taken, forest])
        left = np.setdiff1d(left, forest, assume_unique=True)
    return taken[:count]


def _lightest_forest(edges: Edges, among: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Edges of the forest of least cost among some, the cheapest first; costs are distinct and positive."""
    shape = edges.nodes, edges.nodes
    graph = sparse.coo_array((cost[among].astype(np.float64), (edges.u[among], edges.v[among])), shape=shape).tocsr()
    kept = np.sort(sparse.csgraph.minimum_spanning_tree(graph).data).astype(np.int64)
    return np.argsort(cost)[kept - 1]
