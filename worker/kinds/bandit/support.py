"""The actions a logging policy may take, and a target's mass outside of them.

Sums over actions go through the supported actions of each row or through blocks; rounds x actions is never formed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worker.kinds.bandit.policies import BLOCK_BYTES, DenseTable, Policy, ScorerTable, SparseTable, Table, release

Floats = NDArray[np.float64]
Rows = NDArray[np.integer]
PAIRS_A_BLOCK = 1 << 13


@dataclass(frozen=True)
class Support:
    """Which actions the logging policy may take in every context.

    Row u of `entries` (U, A), a CSR pattern with sorted indices, lists the supported actions; where `everything` (U,)
    bool is set all A are supported and the row is left empty. Round i has row `index[i]`; without `index`, row i.
    """

    entries: sparse.csr_array
    everything: NDArray[np.bool_]
    index: NDArray[np.int32] | None = None

    @property
    def n_actions(self) -> int:
        """Number of actions A."""
        return self.entries.shape[1]

    @property
    def rows(self) -> Rows:
        """Row of every round (n,)."""
        return np.arange(self.entries.shape[0], dtype=np.int32) if self.index is None else self.index

    @property
    def complete(self) -> bool:
        """Whether every action is supported in every context."""
        return bool(self.everything.all())

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of supported actions of every row (U,)."""
        return np.where(self.everything, self.n_actions, np.diff(self.entries.indptr)).astype(np.int64)

    def take(self, rounds: Rows) -> Support:
        """The same support on some of the rounds."""
        return replace(self, index=self.rows[rounds])

    def mask(self, rows: Rows) -> NDArray[np.bool_]:
        """Supported or not, written out for some rows (m, A); the caller keeps m * A small."""
        written = self.entries[rows].toarray().astype(bool)
        written[self.everything[rows]] = True
        return written

    def has(self, rows: Rows, actions: Rows) -> NDArray[np.bool_]:
        """Whether `actions` (m,) are supported in the contexts `rows` (m,)."""
        return self.everything[rows] | _member(self.entries, rows, actions)

    def draw_unsupported(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """One action of U(x), uniformly, for every row (m,); -1 where every action is supported.

        The j-th unsupported action is j plus the number of supported ones before it: one search for all rows.
        """
        counts = self.counts[rows]
        missing = self.n_actions - counts
        drawn = np.floor(rng.random(len(rows)) * missing).astype(np.int64)
        owner = np.repeat(np.arange(self.entries.shape[0], dtype=np.int64), np.diff(self.entries.indptr))
        before = np.arange(self.entries.nnz) - self.entries.indptr[owner]
        width = np.int64(self.n_actions + 1)
        keys = owner * width + self.entries.indices - before
        place = np.searchsorted(keys, rows.astype(np.int64) * width + drawn, side="right")
        return np.where(missing > 0, drawn + place - self.entries.indptr[rows], -1)


def support_of(policy: Policy) -> Support:
    """The support of a known logging policy: a softmax scorer supports everything, a table what is above zero."""
    table = policy.table
    if isinstance(table, ScorerTable):
        empty = sparse.csr_array((table.n_rows, table.n_actions), dtype=bool)
        return Support(empty, np.ones(table.n_rows, bool), policy.index)
    if isinstance(table, SparseTable):
        everything = np.zeros(table.n_rows, bool) if table.floor is None else np.asarray(table.floor > 0)
        if not everything.any() and np.all(table.entries.data > 0):  # shares the indices, copies nothing
            pattern = np.ones(table.entries.nnz, bool)
            shared = sparse.csr_array((pattern, table.entries.indices, table.entries.indptr), table.entries.shape)
            return Support(shared, everything, policy.index)
        kept = (table.entries.data > 0) & ~np.repeat(everything, np.diff(table.entries.indptr))
        return Support(_select(table.entries, kept), everything, policy.index)
    step = max(1, BLOCK_BYTES // (8 * table.n_actions))
    blocks: list[sparse.csr_array] = []
    whole: list[NDArray[np.bool_]] = []
    for start in range(0, table.n_rows, step):
        positive = table.dense(np.arange(start, min(start + step, table.n_rows))) > 0
        whole.append(positive.all(axis=1))
        positive[whole[-1]] = False
        blocks.append(sparse.csr_array(positive))
    return Support(stacked(blocks, table.n_actions), np.concatenate([np.zeros(0, bool), *whole]), policy.index)


def support_from_pairs(
    rows: Rows, actions: Rows, n_rows: int, n_actions: int, index: NDArray[np.int32] | None = None
) -> Support:
    """The support written as a list of (row, action) pairs, for logs whose probabilities are not known."""
    pairs = sparse.csr_array((np.ones(len(rows), bool), (rows, actions)), (n_rows, n_actions))
    pairs.sum_duplicates()
    pairs.sort_indices()
    return Support(pairs, np.diff(pairs.indptr) == n_actions, index)


def unsupported_mass(target: Policy, support: Support) -> Floats:
    """u_i = sum_a pi(a|x_i) 1[mu(a|x_i) = 0] of every round (n,), summed once a distinct pair of contexts."""
    if support.complete:
        return np.zeros(target.n_rounds)
    first, second, back = distinct_row_pairs(target.rows, support.rows)
    found = np.zeros(len(first))
    totals = _row_sums(target.table)
    for part in parts(len(first)):
        mine, its = first[part], second[part]
        if isinstance(target.table, SparseTable):
            found[part] = _sparse_outside(target.table, mine, support, its)
            release(target.table.entries)
            release(support.entries)
        else:
            _, owner, inside = supported_entries(target.table, mine, support, its)
            missed = totals[mine] - np.bincount(owner, inside, minlength=len(mine))
            found[part] = np.where(support.everything[its], 0.0, np.maximum(missed, 0.0))
    return found[back]


# Rows, pairs and entries


def distinct_row_pairs(first: Rows, second: Rows) -> tuple[Rows, Rows, NDArray[np.intp]]:
    """Distinct pairs of rows and where each round's pair lies among them."""
    key = first.astype(np.int64) * (int(second.max(initial=0)) + 1) + second
    if np.all(np.diff(key) > 0):
        return first, second, np.arange(len(first))
    _, where, back = np.unique(key, return_index=True, return_inverse=True)
    return first[where], second[where], back.ravel()


def parts(count: int) -> Iterator[slice]:
    """Slices of so many pairs that a block of their entries stays small."""
    for start in range(0, count, PAIRS_A_BLOCK):
        yield slice(start, min(start + PAIRS_A_BLOCK, count))


def _row_sums(table: Table) -> Floats:
    if isinstance(table, DenseTable):
        return table.times(np.ones((table.n_actions, 1)))[:, 0]
    return np.ones(table.n_rows)


def _select(entries: sparse.csr_array, kept: NDArray[np.bool_]) -> sparse.csr_array:
    """The pattern of some stored entries."""
    rows = np.repeat(np.arange(entries.shape[0]), np.diff(entries.indptr))[kept]
    pointers = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=entries.shape[0]))])
    return sparse.csr_array((np.ones(len(rows), bool), entries.indices[kept], pointers), entries.shape)


def stacked(blocks: list[sparse.csr_array], n_actions: int) -> sparse.csr_array:
    """Blocks of rows below each other; none is a matrix without rows."""
    if not blocks:
        return sparse.csr_array((0, n_actions))
    return sparse.csr_array(sparse.vstack(blocks, format="csr")) if len(blocks) > 1 else blocks[0]


def _member(entries: sparse.csr_array, rows: Rows, actions: Rows) -> NDArray[np.bool_]:
    if not entries.nnz:
        return np.zeros(len(rows), bool)
    width = np.int64(entries.shape[1])
    keys = np.repeat(np.arange(entries.shape[0], dtype=np.int64), np.diff(entries.indptr)) * width + entries.indices
    wanted = rows.astype(np.int64) * width + actions
    return keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted


def supported_entries(table: Table, mine: Rows, support: Support, its: Rows) -> tuple[Rows, Rows, Floats]:
    """Actions, row number and probability of everything the support lists for some pairs of rows."""
    pattern = support.entries[its]
    owner = np.repeat(np.arange(len(its)), np.diff(pattern.indptr))
    if isinstance(table, DenseTable):
        return pattern.indices, owner, table.values[mine[owner], pattern.indices].astype(np.float64)
    if isinstance(table, SparseTable):
        return pattern.indices, owner, table.gather(mine[owner], pattern.indices[:, None])[:, 0]
    values = np.empty(len(owner))
    step = max(1, BLOCK_BYTES // (8 * table.n_actions))
    for start in range(0, len(mine), step):
        block = table.dense(mine[start : start + step])
        part = slice(pattern.indptr[start], pattern.indptr[min(start + step, len(mine))])
        values[part] = block[owner[part] - start, pattern.indices[part]]
    return pattern.indices, owner, values


def _sparse_outside(table: SparseTable, mine: Rows, support: Support, its: Rows) -> Floats:
    entries, pattern = table.entries[mine], support.entries[its]
    wide = entries.astype(np.float64)
    # Taking away the supported entries themselves leaves exact zeros, which one minus their sum would not.
    outside = wide - wide.multiply(pattern)
    found = np.where(support.everything[its], 0.0, outside.sum(axis=1))
    return found if table.floor is None else found + table.floor[mine] * (table.n_actions - support.counts[its])
