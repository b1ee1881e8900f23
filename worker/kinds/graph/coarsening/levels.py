"""Coarsen a graph level by level until as many nodes are left as were asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, Protocol

import numpy as np
from scipy import sparse

from worker.kinds.graph.coarsening.contraction import Count, Sets, contract, neighbourhoods, pairs, variation_costs
from worker.kinds.graph.coarsening.partition import Partition
from worker.kinds.graph.coarsening.proximity import Proximity
from worker.kinds.graph.coarsening.subspace import Subspace

Tick = Callable[[], None]


class Scheme(Protocol):
    """What may be contracted on each level, and at what cost."""

    def sets(self, adjacency: sparse.csr_array, rng: np.random.Generator, tick: Tick) -> tuple[Sets, np.ndarray]:
        """The sets of this level's graph, and the subspace (N, K) by which they are priced."""
        ...

    def descend(self, partition: Partition, adjacency: sparse.csr_array) -> None:
        """Clusters were made, and the next level's graph is this."""
        ...


class Variation:
    """Local variation: sets are priced by what contracting them does to the slow vectors of the graph."""

    def __init__(self, family: Literal["neighborhoods", "edges"], eigenvectors: int) -> None:
        self.family, self.eigenvectors = family, eigenvectors
        self.subspace: Subspace | None = None

    def sets(self, adjacency: sparse.csr_array, rng: np.random.Generator, tick: Tick) -> tuple[Sets, np.ndarray]:
        """Neighbourhoods or edges."""
        if self.subspace is None:
            self.subspace = Subspace.slowest(adjacency, self.eigenvectors, rng, tick)
        vectors = self.subspace.vectors
        indptr, members = (neighbourhoods if self.family == "neighborhoods" else pairs)(adjacency)
        return Sets(indptr, members, variation_costs(adjacency, vectors, indptr, members, tick)), vectors

    def descend(self, partition: Partition, adjacency: sparse.csr_array) -> None:
        """Carry the subspace to the next level."""
        assert self.subspace is not None  # noqa: S101 - made with the first sets
        self.subspace = self.subspace.coarsened(partition, adjacency)


class Matching:
    """Edges are matched, the nearest ends first."""

    def __init__(self, proximity: Proximity) -> None:
        self.proximity = proximity

    def sets(self, adjacency: sparse.csr_array, rng: np.random.Generator, tick: Tick) -> tuple[Sets, np.ndarray]:
        """All edges; once matched, no set is priced again."""
        indptr, members = pairs(adjacency)
        near = self.proximity(adjacency, members.reshape(-1, 2), rng, tick)
        return Sets(indptr, members, -near), np.zeros((adjacency.shape[0], 1))

    def descend(self, partition: Partition, adjacency: sparse.csr_array) -> None:
        """Nothing is carried on."""


def coarsen(
    adjacency: sparse.csr_array,
    label: np.ndarray,
    scheme: Scheme,
    count: Count,
    levels: int,
    rng: np.random.Generator,
    tick: Tick = lambda: None,
) -> tuple[Partition, int]:
    """Clusters (of N nodes) and how many are counted: `count.goal` unless the levels or the edges do not suffice.

    `label`: int64 (N,), a class or UNKNOWN. While anything else is left nodes of different classes stay apart.
    """
    whole, graph = Partition.single(adjacency.shape[0]), sparse.csr_array(adjacency, dtype=np.float64)
    graph.sort_indices()
    for _ in range(levels):
        if count.of(label) <= count.goal or graph.nnz == 0:
            break
        sets, subspace = scheme.sets(graph, rng, tick)
        made = contract(graph, sets, label, count, subspace, rng, tick)
        if made.n == graph.shape[0]:
            if count.mixing:
                break
            count = replace(count, mixing=True)
            continue
        graph, label, whole = made.coarse(graph), made.labels(label), whole.then(made)
        scheme.descend(made, graph)
    return whole, count.of(label)
