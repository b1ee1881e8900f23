"""The slow vectors of a graph that local variation keeps, and what is left of them on each level.

Loukas: Graph reduction with spectral and cut guarantees (JMLR 2019), sections 3.2 and 4.1: A_0 = U_K Λ_K^-1/2, then
B_l = P_l B_{l-1} and A_l = B_l (B_l^T L_l B_l)^{+1/2}. Departures from the published code: P averages over clusters, as
the paper has it (the code divides by the root of the cluster's size, which belongs to another Laplacian); every
component has vectors of its own (the code does one component after the other and leaves out those of at most ten
nodes).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from worker.kinds.graph.coarsening.partition import Partition
from worker.kinds.graph.laplacian import laplacian_of, smallest_eigenpairs

SMALLEST = 1e-10  # eigenvalues below count as 0, relative to the largest of their form
ROWS = 100_000  # rows whose outer products are held at once


class Subspace:
    """`vectors` A (N, K), float64, of one level's graph; each connected component has its own rows of it."""

    def __init__(self, component: np.ndarray, vectors: np.ndarray) -> None:
        self.component, self.vectors = component, vectors

    @classmethod
    def slowest(
        cls,
        adjacency: sparse.csr_array,
        count: int,
        rng: np.random.Generator,
        tick: Callable[[], None] = lambda: None,
    ) -> Subspace:
        """A_0 = U Λ^-1/2 of the `count` smallest eigenvalues above 0 of every component; 0 where it has fewer."""
        total, component = sparse.csgraph.connected_components(adjacency, directed=False)
        laplacian = laplacian_of(adjacency)
        vectors = np.zeros((adjacency.shape[0], count))
        nodes = np.argsort(component, kind="stable")
        ends = np.cumsum(np.bincount(component, minlength=total))
        for some in np.split(nodes, ends[:-1]):
            if len(some) < 2:
                continue
            tick()
            values, found = smallest_eigenpairs(sparse.csr_array(laplacian[some][:, some]), count, rng, tick)
            vectors[some, : len(values)] = found / np.sqrt(values)
        return cls(component, vectors)

    def coarsened(self, partition: Partition, adjacency: sparse.csr_array) -> Subspace:
        """A of the coarse graph, whose `adjacency` is given."""
        first = np.zeros(partition.n, np.int64)
        first[partition.cluster[::-1]] = np.arange(len(partition.cluster))[::-1]
        component = self.component[first]
        averaged = partition.averages(self.vectors)
        forms = _forms(averaged, laplacian_of(adjacency) @ averaged, component)
        values, rotation = np.linalg.eigh((forms + forms.transpose(0, 2, 1)) / 2)
        small = values <= SMALLEST * np.maximum(values[:, -1:], 1e-300)
        root = np.where(small, 0.0, np.where(small, 1.0, values) ** -0.5)
        turned = np.einsum("nk,nkj->nj", averaged, rotation[component]) * root[component]
        return Subspace(component, turned)


def _forms(left: np.ndarray, right: np.ndarray, component: np.ndarray) -> np.ndarray:
    """left^T right (components, K, K), summed over each component's rows."""
    total, width = int(component.max()) + 1, left.shape[1]
    found = np.zeros((total, width * width))
    for start in range(0, len(left), ROWS):
        some = slice(start, start + ROWS)
        outer = (left[some, :, None] * right[some, None, :]).reshape(-1, width * width)
        rows = np.arange(len(outer))
        found += sparse.csr_array((np.ones(len(outer)), (component[some], rows)), shape=(total, len(outer))) @ outer
    return found.reshape(total, width, width)
