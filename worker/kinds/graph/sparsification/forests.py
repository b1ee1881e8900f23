"""Spanning forests, one after another: each connects all that the edges left over still connect.

The union of the first k of them keeps every cut of at most k edges whole (Nagamochi and Ibaraki, Algorithmica 1992,
theorem 2.1), and the first alone keeps the connected components.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worker.kinds.graph.sparsification.edges import Edges
from worker.numerics.compiled import WARM_UPS, compiled, while_waiting


def spanning_forests(
    edges: Edges, count: int, rng: np.random.Generator, tick: Callable[[], None] = lambda: None
) -> np.ndarray:
    """Numbers of `count` edges (count,): whole forests of the heaviest edges, ties at random, then part of the next.

    Fewer edges than the first forest has do not keep the components; whoever calls says so.
    """
    order = rng.permutation(len(edges))
    if len(edges) and edges.weight.min() < edges.weight.max():
        order = order[np.argsort(-edges.weight[order], kind="stable")]
    left, taken = order, np.zeros(0, np.int64)
    while len(taken) < count and len(left):
        joins = while_waiting(lambda left=left: _forest(edges.u, edges.v, left, edges.nodes), tick)
        taken, left = np.concatenate([taken, left[joins]]), left[~joins]
    return taken[:count]


@compiled
def _forest(u: np.ndarray, v: np.ndarray, order: np.ndarray, nodes: int) -> np.ndarray:
    """Whether each edge (m,), in this order, joins what those before it do not: Kruskal's forest by union-find."""
    parent = np.arange(nodes)
    joins = np.zeros(len(order), np.bool_)
    for at in range(len(order)):
        a, b = u[order[at]], v[order[at]]
        while parent[a] != a:
            parent[a] = parent[parent[a]]  # paths are halved as they are walked
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        if a != b:
            parent[a] = b
            joins[at] = True
    return joins


def _compile() -> None:
    ends = np.zeros(1, np.int64)
    _forest(ends, ends, ends, 1)


WARM_UPS.append(_compile)
