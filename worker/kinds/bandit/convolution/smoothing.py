"""Smoothed probabilities of logged actions, for every amount of smoothing of a family in one pass over the policy.

A family of smoothing matrices S_t (A x A, t from none to most) gives pi_t(a|x) = sum_b S_t[a, b] pi(b|x) (Sachdeva et
al. 2023, arXiv:2310.15433). Only its value at the logged action is ever needed, so a sparse policy costs its support,
a policy by context costs its distinct contexts, and a scorer is read block by block; nothing forms rounds x actions.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.kinds.bandit.policies import BLOCK_BYTES, Floats, Policy, SparseTable, release

Normalize = Literal["mass", "mean"]
_ENTRIES = 500_000  # support entries a chunk of rounds may hold


class Convolution(Protocol):
    """One family of smoothing matrices, from the identity (`taus[0]`) to the most smoothing."""

    @property
    def family(self) -> str:
        """`kernel`, `tree`, `ball` or `knn`."""
        ...

    @property
    def taus(self) -> tuple[float, ...]:
        """The amounts of smoothing in the family's own unit; the first is none at all."""
        ...

    @property
    def n_actions(self) -> int:
        """Number of actions A."""
        ...

    @property
    def row_cost(self) -> float:
        """Multiply-adds that smoothing one whole distribution by one level takes."""
        ...

    def entries(
        self,
        actions: NDArray[np.integer],
        others: NDArray[np.integer],
        mass: Floats,
        owner: NDArray[np.integer],
        n: int,
    ) -> Floats:
        """(T, n): sums over listed entries of S_t[actions, others] * mass, entry by entry to its round `owner`."""
        ...

    def rows(self, values: Floats, row_of: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
        """(T, n): smoothed distributions `values` (u, A) of contexts `row_of` (n,) at `actions` (n,)."""
        ...

    def tables(self, values: Floats, level: int) -> Floats:
        """(u, A): whole distributions smoothed by `taus[level]`."""
        ...

    def row_sums(self) -> Floats:
        """(T, A): what a policy that gives every action mass 1 becomes."""
        ...

    def sample(self, level: int, actions: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.integer]:
        """For every action b (m,) an action drawn from column b of the mass-keeping S_t."""
        ...

    def keeping_mass(self) -> Convolution:
        """The same family with columns that sum to one (`normalize="mass"`)."""
        ...


def logged(path: Convolution, policy: Policy, actions: NDArray[np.integer]) -> Floats:
    """Smoothed probabilities (T, n) of one action a round (n,), for all T amounts of smoothing."""
    if isinstance(policy.table, SparseTable):
        return _sparse(path, policy.table, policy.rows, actions)
    return _dense(path, policy, actions)


def _sparse(path: Convolution, table: SparseTable, rows: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
    n = len(actions)
    smoothed = np.empty((len(path.taus), n))
    starts, ends = table.entries.indptr[rows].astype(np.int64), table.entries.indptr[rows + 1].astype(np.int64)
    size = ends - starts
    chunk_of = np.cumsum(size) // _ENTRIES
    edges = [0, *(np.flatnonzero(np.diff(chunk_of)) + 1), n]
    for lo, hi in pairwise(edges):
        if lo == hi:
            continue
        owner = np.repeat(np.arange(hi - lo), size[lo:hi])
        place: slice | NDArray[np.int64] = slice(int(starts[lo]), int(ends[hi - 1]))
        if not np.array_equal(ends[lo : hi - 1], starts[lo + 1 : hi]):  # rows that do not follow one another
            first = np.concatenate([[0], np.cumsum(size[lo:hi])[:-1]])
            place = np.arange(len(owner)) + np.repeat(starts[lo:hi] - first, size[lo:hi])
        others, mass = table.entries.indices[place], table.entries.data[place].astype(np.float64)
        smoothed[:, lo:hi] = path.entries(actions[lo:hi][owner], others, mass, owner, int(hi - lo))
        release(table.entries)
    if table.floor is not None:
        smoothed += path.row_sums()[:, actions] * table.floor[rows].astype(np.float64)
    return smoothed


def _dense(path: Convolution, policy: Policy, actions: NDArray[np.integer]) -> Floats:
    distinct, row_of = np.unique(policy.rows, return_inverse=True)
    order = np.argsort(row_of, kind="stable")
    smoothed = np.empty((len(path.taus), len(actions)))
    step = max(1, BLOCK_BYTES // (8 * policy.n_actions))
    edges = np.searchsorted(row_of[order], np.arange(0, len(distinct) + step, step))
    for block, (lo, hi) in enumerate(pairwise(edges)):
        rounds = order[lo:hi]
        values = policy.table.dense(distinct[block * step : (block + 1) * step])
        smoothed[:, rounds] = path.rows(values, row_of[rounds] - block * step, actions[rounds])
    return smoothed
