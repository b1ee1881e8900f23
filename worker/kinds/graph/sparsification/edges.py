"""The undirected edges of a graph, each once, and the graph of those that are kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from worker.kinds.graph.laplacian import laplacian_of

Adjacency = sparse.csr_array


@dataclass(frozen=True)
class Edges:
    """Edges without loops: `u`, `v` int64 (m,), u < v, in the order of (u, v); `weight` float64 (m,), positive."""

    nodes: int
    u: np.ndarray
    v: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, adjacency: Adjacency) -> Edges:
        """The edges of a symmetric matrix (N, N); its diagonal is left out."""
        upper = sparse.triu(adjacency, 1, format="csr")
        upper.sort_indices()
        u = np.repeat(np.arange(adjacency.shape[0]), np.diff(upper.indptr))
        return cls(adjacency.shape[0], u, upper.indices.astype(np.int64), upper.data.astype(np.float64))

    @classmethod
    def triangle(cls) -> Edges:
        """Three nodes, each joined to the others: the least graph on which loops have something to do."""
        return cls(3, np.array([0, 0, 1]), np.array([1, 2, 2]), np.ones(3))

    def __len__(self) -> int:
        return len(self.u)

    def keep(self, chosen: np.ndarray, weight: np.ndarray | None = None) -> Edges:
        """The chosen edges (numbers or mask), in their order; `weight`: of each edge before choosing (m,)."""
        kept = np.flatnonzero(chosen) if chosen.dtype == bool else np.sort(chosen)
        return Edges(self.nodes, self.u[kept], self.v[kept], (self.weight if weight is None else weight)[kept])

    def numbers_of(self, some: Edges) -> np.ndarray:
        """The numbers that some of these edges have here."""
        return np.searchsorted(self.u * self.nodes + self.v, some.u * self.nodes + some.v)

    def adjacency(self) -> Adjacency:
        """Both directions, float32 (N, N), columns sorted."""
        return self._symmetric(self.weight.astype(np.float32))

    def laplacian(self) -> Adjacency:
        """D - W, float64 (N, N)."""
        return laplacian_of(self._symmetric(self.weight))

    @cached_property
    def incident(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each node its neighbours, ascending, and the edges to them: `indptr` (N + 1,), `neighbour`, `edge`
        (2m,)."""
        numbered = self._symmetric(np.arange(1, len(self) + 1))
        return numbered.indptr.astype(np.int64), numbered.indices.astype(np.int64), numbered.data.astype(np.int64) - 1

    @cached_property
    def degree(self) -> np.ndarray:
        """Number of neighbours (N,), int64."""
        return np.bincount(self.u, minlength=self.nodes) + np.bincount(self.v, minlength=self.nodes)

    def components(self) -> int:
        """Number of connected components, isolated nodes included."""
        return int(sparse.csgraph.connected_components(self._symmetric(self.weight), directed=False)[0])

    def _symmetric(self, values: np.ndarray) -> Adjacency:
        ends = np.concatenate([self.u, self.v]), np.concatenate([self.v, self.u])
        both = sparse.coo_array((np.concatenate([values, values]), ends), shape=(self.nodes, self.nodes)).tocsr()
        both.sort_indices()
        return both


def random_edges(total: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of `count` of `total` edges, drawn without replacement."""
    return rng.permutation(total)[:count]


def highest(score: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of the `count` highest scores (m,), ties in random order."""
    return np.lexsort((rng.random(len(score)), -score))[:count]
