"""Policies over many actions: a table of distributions, one row per distinct context, and the row of every round.

Nothing here forms rounds x actions: what estimators need of a policy is its probability of the logged action and of a
few others (`gather`), its mass on groups, its mean of an action feature, and blocks of dense rows where an exact sum
over actions is wanted. Probabilities are stored as float32 or float64 and every sum runs in float64.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

BLOCK_BYTES = 16 * 2**20  # small blocks stay near the processor: twice as fast as 64 MB, and a quarter of the memory
_BLOCK_ENTRIES = 250_000
_LOOK_UPS = 100_000
Floats = NDArray[np.float64]
Indices = NDArray[np.int32]


class Table(Protocol):
    """Distributions over actions: `n_rows` rows that each sum to one over `n_actions`."""

    @property
    def n_rows(self) -> int:
        """Number of distinct contexts."""
        ...

    @property
    def n_actions(self) -> int:
        """Number of actions A."""
        ...

    def gather(self, rows: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
        """Probabilities (m, k) of `actions` (m, k) in the contexts `rows` (m,)."""
        ...

    def dense(self, rows: NDArray[np.integer]) -> Floats:
        """Whole distributions (m, A) of some contexts; the caller keeps m * A small."""
        ...

    def times(self, features: NDArray[np.floating]) -> Floats:
        """Mean of an action feature (A, d) under every row: (n_rows, d)."""
        ...

    def support(self, rows: NDArray[np.integer]) -> sparse.csr_array | None:
        """The probabilities of some contexts as CSR (m, A) where most are zero; None where they are dense."""
        ...


@dataclass(frozen=True)
class DenseTable:
    """Every probability written out: `values` (U, A)."""

    values: NDArray[np.floating]

    @property
    def n_rows(self) -> int:
        """Number of distinct contexts."""
        return self.values.shape[0]

    @property
    def n_actions(self) -> int:
        """Number of actions."""
        return self.values.shape[1]

    def gather(self, rows: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
        """See `Table`."""
        return self.values[rows[:, None], actions].astype(np.float64, copy=False)

    def dense(self, rows: NDArray[np.integer]) -> Floats:
        """See `Table`."""
        return self.values[rows].astype(np.float64, copy=False)

    def times(self, features: NDArray[np.floating]) -> Floats:
        """See `Table`."""
        wide = features.astype(np.float64)
        step = max(1, BLOCK_BYTES // (8 * self.n_actions))
        if not len(self.values):
            return np.zeros((0, wide.shape[1]))
        starts = range(0, self.n_rows, step)
        return np.concatenate([self.values[i : i + step].astype(np.float64, copy=False) @ wide for i in starts])

    def support(self, rows: NDArray[np.integer]) -> sparse.csr_array | None:
        """See `Table`."""
        return None


@dataclass(frozen=True)
class SparseTable:
    """Few actions per row in `entries` (U, A) CSR with sorted indices, and `floor` (U,) added to every action.

    The floor writes the uniform policy and epsilon-greedy without A numbers a row: an entry holds the mass above it.
    """

    entries: sparse.csr_array
    floor: NDArray[np.floating] | None = None

    @property
    def n_rows(self) -> int:
        """Number of distinct contexts."""
        return self.entries.shape[0]

    @property
    def n_actions(self) -> int:
        """Number of actions."""
        return self.entries.shape[1]

    def gather(self, rows: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
        """See `Table`; a binary search in each row's sorted actions, (m * k) log(support)."""
        found = _look_up(self.entries, np.repeat(rows, actions.shape[1]), actions.ravel()).reshape(actions.shape)
        if found.size > _LOOK_UPS:
            release(self.entries)
        return found if self.floor is None else found + self.floor[rows][:, None]

    def dense(self, rows: NDArray[np.integer]) -> Floats:
        """See `Table`."""
        filled = self.entries[rows].toarray().astype(np.float64, copy=False)
        if self.floor is not None:
            filled += self.floor[rows][:, None]
        return filled

    def times(self, features: NDArray[np.floating]) -> Floats:
        """See `Table`."""
        wide = features.astype(np.float64)
        means = np.empty((self.n_rows, wide.shape[1]))
        for rows, part in _row_blocks(self.entries):
            means[rows] = part @ wide
            release(self.entries)
        if self.floor is not None:
            means += self.floor[:, None] * wide.sum(axis=0)
        return means

    def support(self, rows: NDArray[np.integer]) -> sparse.csr_array | None:
        """See `Table`; None with a floor, which puts mass everywhere."""
        if self.floor is not None and np.any(self.floor[rows] > 0):
            return None
        found = self.entries[rows]
        release(self.entries)
        return found


@dataclass(frozen=True)
class ScorerTable:
    """softmax(beta * (x W E' + b)): never stored, computed for the rows asked for.

    `contexts` (U, d_x), `weights` (d_x, d_e), `embeddings` (A, d_e), `bias` (A,) or None. Scores are float32, the
    log-sum-exp float64.
    """

    contexts: NDArray[np.float32]
    weights: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    bias: NDArray[np.float32] | None = None
    beta: float = 1.0

    @property
    def n_rows(self) -> int:
        """Number of distinct contexts."""
        return self.contexts.shape[0]

    @property
    def n_actions(self) -> int:
        """Number of actions."""
        return self.embeddings.shape[0]

    def gather(self, rows: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
        """See `Table`; the normaliser needs every action's score, so rows go in blocks."""
        found = np.empty(actions.shape)
        for start, block in self._blocks(rows):
            chosen = actions[start : start + len(block)]
            found[start : start + len(block)] = np.take_along_axis(block, chosen, axis=1)
        return found

    def dense(self, rows: NDArray[np.integer]) -> Floats:
        """See `Table`."""
        scores = (self.contexts[rows] @ self.weights) @ self.embeddings.T
        if self.bias is not None:
            scores = scores + self.bias
        wide = self.beta * scores.astype(np.float64)
        wide -= wide.max(axis=1, keepdims=True)
        np.exp(wide, out=wide)
        return wide / wide.sum(axis=1, keepdims=True)

    def times(self, features: NDArray[np.floating]) -> Floats:
        """See `Table`."""
        wide = features.astype(np.float64)
        means = np.empty((self.n_rows, wide.shape[1]))
        for start, block in self._blocks(np.arange(self.n_rows)):
            means[start : start + len(block)] = block @ wide
        return means

    def support(self, rows: NDArray[np.integer]) -> sparse.csr_array | None:
        """See `Table`."""
        return None

    def _blocks(self, rows: NDArray[np.integer]) -> Iterator[tuple[int, Floats]]:
        step = max(1, BLOCK_BYTES // (8 * self.n_actions))
        for start in range(0, len(rows), step):
            yield start, self.dense(rows[start : start + step])


@dataclass(frozen=True)
class Policy:
    """A policy on a log's rounds: round i acts by row `index[i]` of `table`; without `index`, by row i."""

    table: Table
    index: Indices | None = None

    @property
    def n_rounds(self) -> int:
        """Number of rounds n."""
        return self.table.n_rows if self.index is None else len(self.index)

    @property
    def n_actions(self) -> int:
        """Number of actions A."""
        return self.table.n_actions

    @property
    def rows(self) -> Indices:
        """Row of the table of every round (n,)."""
        return np.arange(self.table.n_rows, dtype=np.int32) if self.index is None else self.index

    def at(self, actions: NDArray[np.integer]) -> Floats:
        """Probability of one action a round: (n,) of (n,)."""
        return self.table.gather(self.rows, actions[:, None])[:, 0]

    def gather(self, actions: NDArray[np.integer]) -> Floats:
        """Probabilities (n, k) of `actions` (n, k)."""
        return self.table.gather(self.rows, actions)

    def times(self, features: NDArray[np.floating]) -> Floats:
        """Mean action feature of every round: (n, d) of (A, d)."""
        means = self.table.times(features)
        return means if self.index is None else means[self.index]

    def take(self, rounds: NDArray[np.integer]) -> Policy:
        """The same policy on some of the rounds."""
        return Policy(self.table, self.rows[rounds])

    def dense(self, rounds: NDArray[np.integer]) -> Floats:
        """Whole distributions (m, A) of some rounds."""
        return self.table.dense(self.rows[rounds])

    def blocks(self, rounds: NDArray[np.integer] | None = None) -> Iterator[tuple[NDArray[np.integer], Floats]]:
        """(rounds, dense distributions) in blocks of bounded memory, over all rounds or the given ones."""
        wanted = np.arange(self.n_rounds) if rounds is None else rounds
        step = max(1, BLOCK_BYTES // (8 * self.n_actions))
        for start in range(0, len(wanted), step):
            block = wanted[start : start + step]
            yield block, self.dense(block)


def dense(values: NDArray[np.floating], index: Indices | None = None) -> Policy:
    """A policy from its written-out probabilities (U, A)."""
    return Policy(DenseTable(values), index)


def uniform(n_rounds: int, n_actions: int) -> Policy:
    """The policy that picks every action equally often, stored as one row."""
    entries = sparse.csr_array((1, n_actions), dtype=np.float64)
    return Policy(SparseTable(entries, np.array([1.0 / n_actions])), np.zeros(n_rounds, np.int32))


def epsilon_greedy(best: NDArray[np.integer], n_actions: int, epsilon: float, index: Indices | None = None) -> Policy:
    """The policy that takes `best` (U,) with 1 - epsilon and any action with epsilon / A on top; epsilon 0: argmax."""
    n = len(best)
    entries = sparse.csr_array((np.full(n, 1.0 - epsilon), best.astype(np.int32), np.arange(n + 1)), (n, n_actions))
    return Policy(SparseTable(entries, np.full(n, epsilon / n_actions) if epsilon > 0 else None), index)


def distinct_pairs(first: Policy, second: Policy) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One round for every distinct pair of rows of two policies, and how many rounds share it: (m,), (m,).

    Sums over actions that depend on the two policies alone are taken once a pair, not once a round.
    """
    if first.index is None or second.index is None:
        return np.arange(first.n_rounds), np.ones(first.n_rounds, np.int64)
    key = first.index.astype(np.int64) * second.table.n_rows + second.index
    _, where, counts = np.unique(key, return_index=True, return_counts=True)
    return where, counts


def narrow(policy: Policy) -> Policy:
    """The policy with 32-bit indices where they suffice: scipy keeps 64 bits as given, half as much again an entry."""
    table = policy.table
    if not isinstance(table, SparseTable) or table.entries.nnz >= 2**31:
        return policy
    parts = (table.entries.data, table.entries.indices.astype(np.int32), table.entries.indptr.astype(np.int32))
    return Policy(SparseTable(sparse.csr_array(parts, table.entries.shape, copy=False), table.floor), policy.index)


def release(entries: sparse.csr_array) -> None:
    """Give back the memory of the files that entries are mapped from, after each block of a pass over them.

    The pages stay with the system, which reads them anew only where it needed their room; without this a process
    holds every policy that it has read once.
    """
    for array in (entries.data, entries.indices, entries.indptr):
        owner: Any = array
        while isinstance(owner, np.ndarray):
            owner = owner.base
        if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            owner.madvise(mmap.MADV_DONTNEED)


def _row_blocks(entries: sparse.csr_array) -> Iterator[tuple[slice, sparse.csr_array]]:
    """Runs of rows with 250,000 entries or so, float64: a product would otherwise copy all of them to float64."""
    step = max(1, _BLOCK_ENTRIES * entries.shape[0] // max(1, entries.nnz))
    for start in range(0, entries.shape[0], step):
        pointers = entries.indptr[start : start + step + 1]
        part = slice(int(pointers[0]), int(pointers[-1]))
        block = (entries.data[part].astype(np.float64, copy=False), entries.indices[part], pointers - pointers[0])
        shape = (len(pointers) - 1, entries.shape[1])
        yield slice(start, start + step), sparse.csr_array(block, shape, copy=False)


def _look_up(entries: sparse.csr_array, rows: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
    """entries[rows, actions] as float64: every pair searches its own row's sorted actions, all in step."""
    found = np.zeros(len(rows))
    if not entries.nnz:
        return found
    for start in range(0, len(rows), _LOOK_UPS):
        part = slice(start, start + _LOOK_UPS)
        found[part] = _look_up_some(entries, rows[part], actions[part])
    return found


def _look_up_some(entries: sparse.csr_array, rows: NDArray[np.integer], actions: NDArray[np.integer]) -> Floats:
    low, end = entries.indptr[rows].astype(np.int64), entries.indptr[rows + 1].astype(np.int64)
    high, last = end.copy(), entries.nnz - 1
    for _ in range(int(np.diff(entries.indptr).max()).bit_length()):
        middle = (low + high) // 2
        before = (low < high) & (entries.indices[np.minimum(middle, last)] < actions)
        low, high = np.where(before, middle + 1, low), np.where(before, high, middle)
    place = np.minimum(low, last)
    return np.where((low < end) & (entries.indices[place] == actions), entries.data[place], 0.0).astype(np.float64)
