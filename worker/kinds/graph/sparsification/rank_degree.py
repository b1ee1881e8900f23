"""Edges from seeds to their neighbours of highest degree, which are the next seeds (Voudigari, Salamanos, Papageorgiou,
Yannakoudakis: Rank degree, ASONAM 2016, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worker.kinds.graph.sparsification.edges import Edges
from worker.numerics.compiled import WARM_UPS, compiled, while_waiting


def rank_degree_walk(
    edges: Edges,
    count: int,
    share: float,
    seeds: int,
    rng: np.random.Generator,
    tick: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Numbers of `count` edges (count,), in the order in which they are taken.

    A seed takes the `share` of its remaining edges, one at least, that lead to the neighbours of highest degree; taken
    edges are gone. When no seed has an edge left, `seeds` nodes that have one are drawn. So any number of edges is
    reached, where code that never visits a node twice has to change the share on the way.
    """
    indptr, neighbour, edge = edges.incident
    node = np.repeat(np.arange(edges.nodes), np.diff(indptr))
    order = np.lexsort((neighbour, -edges.degree[neighbour], node))
    drawn = rng.permutation(edges.nodes)
    walk = indptr, neighbour[order], edge[order], edges.degree.copy(), drawn, count, share, seeds
    return while_waiting(lambda: _walk(*walk), tick)


@compiled
def _walk(indptr, neighbour, edge, remaining, drawn, count, share, seeds):
    """`neighbour`, `edge`: of each node those of highest degree first; `drawn`: nodes in random order, used in a
    circle."""
    nodes = len(remaining)
    first = indptr[:-1].copy()  # edges of a node before this one are gone
    taken = np.empty(count, np.int64)
    gone = np.zeros(len(edge) // 2, np.bool_)
    current = np.empty(nodes, np.int64)
    coming = np.empty(nodes, np.int64)
    expected = np.zeros(nodes, np.bool_)
    found, place, now = 0, 0, 0
    while found < count:
        if now == 0:
            looked = 0
            while now < seeds and looked < nodes:
                node = drawn[place]
                place = (place + 1) % nodes
                looked += 1
                if remaining[node] > 0:
                    current[now] = node
                    now += 1
        after = 0
        for number in range(now):
            node = current[number]
            wanted = max(1, int(share * remaining[node])) if remaining[node] > 0 else 0
            at = first[node]
            front = True
            while wanted > 0 and at < indptr[node + 1] and found < count:
                one = edge[at]
                if not gone[one]:
                    gone[one] = True
                    taken[found] = one
                    found += 1
                    wanted -= 1
                    other = neighbour[at]
                    remaining[node] -= 1
                    remaining[other] -= 1
                    if not expected[other]:
                        expected[other] = True
                        coming[after] = other
                        after += 1
                at += 1
                if front:
                    first[node] = at
        for number in range(after):
            expected[coming[number]] = False
        current, coming, now = coming, current, after
    return taken


def _compile() -> None:
    rank_degree_walk(Edges.triangle(), 2, 0.5, 1, np.random.default_rng(0))


WARM_UPS.append(_compile)
