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
    order = rng.permutation(len(edges))
    if len(edges) and edges.weight.min() < edges.weight.max():
        order = order[np.argsort(-edges.weight[order], kind="stable")]
    left, taken = np.arange(len(edges)), np.zeros(0, np.int64)
    while len(taken) < count and len(left):
        tick()
        forest = _first_forest(edges, order[left])
        taken = np.concatenate([taken, order[left[forest]]])
        left = np.delete(left, forest)
    return taken[:count]


def _first_forest(edges: Edges, among: np.ndarray) -> np.ndarray:
    """Places in `among`, rising, of the edges that join what the edges before them do not."""
    place = np.arange(1.0, len(among) + 1)
    shape = edges.nodes, edges.nodes
    graph = sparse.coo_array((place, (edges.u[among], edges.v[among])), shape=shape).tocsr()
    return np.sort(sparse.csgraph.minimum_spanning_tree(graph).data).astype(np.int64) - 1
