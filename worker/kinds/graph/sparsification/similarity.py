"""How alike the neighbourhoods of an edge's ends are: triangles, Jaccard's index (G-Spar), SCAN's structural
similarity.

Satuluri, Parthasarathy, Ruan: Local graph sparsification for scalable clustering (SIGMOD 2011), section 3; Xu et al.:
SCAN (KDD 2007), definition 2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worker.kinds.graph.sparsification.edges import Edges
from worker.numerics.compiled import WARM_UPS, compiled, while_waiting


def common_neighbours(edges: Edges, tick: Callable[[], None] = lambda: None) -> np.ndarray:
    """|N_u ∩ N_v| of every edge (m,), int64: the triangles it lies in.

    Every edge is directed to the end of higher degree, and each triangle found once, from its lowest node: O(m^1.5).
    """
    rank = np.empty(edges.nodes, np.int64)
    rank[np.lexsort((np.arange(edges.nodes), edges.degree))] = np.arange(edges.nodes)
    up = rank[edges.u] < rank[edges.v]
    low, high = np.where(up, edges.u, edges.v), np.where(up, edges.v, edges.u)
    order = np.argsort(low, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(low, minlength=edges.nodes))])
    found = np.zeros(len(edges), np.int64)
    seen = np.full(edges.nodes, -1)
    while_waiting(lambda: _triangles(indptr, high[order], order, seen, found), tick)
    return found


def jaccard_index(edges: Edges, tick: Callable[[], None] = lambda: None) -> np.ndarray:
    """|N_u ∩ N_v| / |N_u ∪ N_v| of every edge (m,), float64."""
    common = common_neighbours(edges, tick)
    return common / (edges.degree[edges.u] + edges.degree[edges.v] - common)


def structural_similarity(edges: Edges, tick: Callable[[], None] = lambda: None) -> np.ndarray:
    """(|N_u ∩ N_v| + 1) / sqrt((d_u + 1)(d_v + 1)) of every edge (m,), float64."""
    degree = edges.degree + 1.0
    return (common_neighbours(edges, tick) + 1) / np.sqrt(degree[edges.u] * degree[edges.v])


@compiled
def _triangles(indptr, higher, edge, seen, found):
    """Count each triangle at its three edges, from its lowest node. `seen` (N,): scratch, -1."""
    for node in range(len(indptr) - 1):
        for one in range(indptr[node], indptr[node + 1]):
            seen[higher[one]] = edge[one]
        for one in range(indptr[node], indptr[node + 1]):
            middle = higher[one]
            for two in range(indptr[middle], indptr[middle + 1]):
                third = seen[higher[two]]
                if third >= 0:
                    found[edge[one]] += 1
                    found[edge[two]] += 1
                    found[third] += 1
        for one in range(indptr[node], indptr[node + 1]):
            seen[higher[one]] = -1


def _compile() -> None:
    common_neighbours(Edges.triangle())


WARM_UPS.append(_compile)
