"""k-nearest-neighbour convolution: every action shares its mass evenly with its k nearest (arXiv:2310.15433).

With `mass`, b hands 1/k of its probability to each of its k nearest actions, so a receives from those that count it
among their neighbours; with `mean`, a takes the average of its own k nearest. Either way the lists are nested in k:
one pass that adds up mass by rank of the neighbour gives every k by a cumulative sum.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worker.kinds.bandit.convolution.neighbours import Neighbours, nearest
from worker.kinds.bandit.convolution.smoothing import Normalize
from worker.kinds.bandit.policies import Floats

NEIGHBOURS = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class NeighbourPath:
    """`neighbours` of every action, `taus` the numbers k from 1 (the identity) up.

    `sources` (A, A) CSR: row a lists who gives to a, as 1 + the first level at which they do.
    """

    neighbours: Neighbours
    taus: tuple[float, ...]
    sources: sparse.csr_array
    normalize: Normalize = "mass"
    family: str = field(default="knn", init=False)

    @property
    def n_actions(self) -> int:
        """Number of actions A."""
        return len(self.neighbours.ids)

    @property
    def row_cost(self) -> float:
        """See `Convolution`."""
        return float(self.sources.nnz)

    @property
    def _first(self) -> NDArray[np.int8]:
        return np.asarray(self.sources.data, dtype=np.int8)

    def row_sums(self) -> Floats:
        """See `Convolution`."""
        owner = np.repeat(np.arange(self.n_actions), np.diff(self.sources.indptr))
        return self._by_level(owner, self._first, np.ones(self.sources.nnz), self.n_actions)

    def _by_level(self, owner: NDArray[np.integer], first: NDArray[np.integer], mass: Floats, n: int) -> Floats:
        """(T, n) from entries that count from level `first` - 1 on."""
        levels = len(self.taus)
        added = np.bincount(owner.astype(np.int64) * levels + first - 1, mass, n * levels).reshape(n, levels)
        return np.ascontiguousarray(np.cumsum(added, axis=1).T) / np.array(self.taus)[:, None]

    def entries(
        self,
        actions: NDArray[np.integer],
        others: NDArray[np.integer],
        mass: Floats,
        owner: NDArray[np.integer],
        n: int,
    ) -> Floats:
        """See `Convolution`; a binary search among the neighbours an entry."""
        if not len(actions):
            return np.zeros((len(self.taus), n))
        first = np.asarray(self.sources[actions, others], dtype=np.int8).ravel()
        near = np.flatnonzero(first)
        return self._by_level(owner[near], first[near], mass[near], n)

    def rows(self, values: Floats, row_of: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
        """See `Convolution`; n * k gathers."""
        starts = self.sources.indptr[actions].astype(np.int64)
        size = self.sources.indptr[actions + 1] - starts
        owner = np.repeat(np.arange(len(actions)), size)
        place = np.arange(len(owner)) + np.repeat(starts - np.concatenate([[0], np.cumsum(size)[:-1]]), size)
        mass = values[row_of[owner], self.sources.indices[place]]
        return self._by_level(owner, self._first[place], mass, len(actions))

    def tables(self, values: Floats, level: int) -> Floats:
        """See `Convolution`."""
        if level == 0:
            return values
        chosen = self.sources.copy()
        weights = (chosen.data <= level + 1) / self.taus[level]
        matrix = sparse.csr_array((weights, chosen.indices, chosen.indptr), chosen.shape)
        matrix.eliminate_zeros()
        return np.ascontiguousarray((matrix @ np.ascontiguousarray(values.T)).T)

    def sample(self, level: int, actions: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.integer]:
        """See `Convolution`."""
        return self.neighbours.ids[actions, rng.integers(0, int(self.taus[level]), len(actions))]

    def keeping_mass(self) -> NeighbourPath:
        """See `Convolution`."""
        if self.normalize == "mass":
            return self
        return replace(self, normalize="mass", sources=_sources(self.neighbours, self.taus, "mass"))


def knn(
    points: Floats, ks: tuple[int, ...] | None = None, *, normalize: Normalize = "mass", device: str = "cpu"
) -> NeighbourPath:
    """k from 1 (the identity) over {2, 5, ..., 100} up to A; k = A is the uniform policy."""
    taus = tuple(float(k) for k in sorted({1, *(ks or NEIGHBOURS)}) if 1 <= k <= len(points))
    neighbours = nearest(points, int(taus[-1]), device)
    return NeighbourPath(neighbours, taus, _sources(neighbours, taus, normalize), normalize)


def _sources(neighbours: Neighbours, taus: tuple[float, ...], normalize: Normalize) -> sparse.csr_array:
    """(A, A): row a lists who gives to a (`mass`) or of whom a takes the average (`mean`)."""
    n, k = neighbours.ids.shape
    first = 1 + np.searchsorted(np.array(taus), np.arange(1, k + 1)).astype(np.int8)
    lists = sparse.csr_array((np.tile(first, n), neighbours.ids.ravel(), np.arange(0, n * k + 1, k)), (n, n))
    out = sparse.csr_array(lists.T) if normalize == "mass" else lists
    out.sort_indices()
    return out
