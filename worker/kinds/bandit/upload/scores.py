"""Uploaded scores to a policy: softmax, epsilon-greedy or argmax."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worker.contract.errors import JobError
from worker.kinds.bandit.policies import DenseTable, Policy, ScorerTable, SparseTable, Table, epsilon_greedy
from worker.kinds.bandit.policy_files import compact
from worker.kinds.bandit.upload.policy import ActionsAndContexts, RawPolicy, table_of


def from_scores(raw: RawPolicy, known: ActionsAndContexts, how: str, temperature: float, epsilon: float) -> Policy:
    """A policy from uploaded scores: softmax of scores standardised within a row, epsilon-greedy, or argmax.

    Of sparse scores only the stored actions can be chosen (and, with epsilon, any). Ties: the lower action.
    """
    table, index = table_of(raw, known)
    stored = (
        table.values
        if isinstance(table, DenseTable)
        else table.entries.data
        if isinstance(table, SparseTable)
        else None
    )
    if stored is not None and not np.isfinite(stored).all():
        raise JobError("invalid_input", f"The scores {raw.name} hold NaN or infinite numbers.", pointer="/files")
    if how != "softmax":
        return epsilon_greedy(
            _best(table, raw.name), table.n_actions, epsilon if how == "epsilon_greedy" else 0.0, index
        )
    if isinstance(table, ScorerTable):
        return Policy(
            ScorerTable(table.contexts, table.weights, table.embeddings, table.bias, table.beta / temperature), index
        )
    if isinstance(table, DenseTable):
        wide = table.values.astype(np.float64)
        spread = wide.std(axis=1, keepdims=True)
        wide = (wide - wide.max(axis=1, keepdims=True)) / (np.where(spread > 0, spread, 1) * temperature)
        np.exp(wide, out=wide)
        return compact(Policy(DenseTable((wide / wide.sum(axis=1, keepdims=True)).astype(table.values.dtype)), index))
    assert isinstance(table, SparseTable)  # noqa: S101
    entries = table.entries
    _refuse_empty(entries, raw.name)
    counts, starts = np.diff(entries.indptr), entries.indptr[:-1]
    data = entries.data.astype(np.float64)
    mean = np.add.reduceat(data, starts) / counts
    spread = np.sqrt(np.add.reduceat((data - np.repeat(mean, counts)) ** 2, starts) / counts)
    top = np.maximum.reduceat(data, starts)
    mass = np.exp((data - np.repeat(top, counts)) / np.repeat(np.where(spread > 0, spread, 1) * temperature, counts))
    mass /= np.repeat(np.add.reduceat(mass, starts), counts)
    return Policy(SparseTable(sparse.csr_array((mass, entries.indices, entries.indptr), entries.shape)), index)


def _best(table: Table, name: str) -> NDArray[np.int64]:
    if isinstance(table, DenseTable):
        return table.values.argmax(axis=1)
    if isinstance(table, SparseTable):
        _refuse_empty(table.entries, name)
        counts, starts = np.diff(table.entries.indptr), table.entries.indptr[:-1]
        top = np.repeat(np.maximum.reduceat(table.entries.data, starts), counts)
        at = np.where(table.entries.data == top, np.arange(table.entries.nnz), table.entries.nnz)
        return table.entries.indices[np.minimum.reduceat(at, starts)].astype(np.int64)
    return np.concatenate([block.argmax(axis=1) for _, block in Policy(table).blocks()])


def _refuse_empty(entries: sparse.csr_array, name: str) -> None:
    if (np.diff(entries.indptr) == 0).any():
        row = int(np.argmin(np.diff(entries.indptr)))
        raise JobError("invalid_input", f"Row {row:,} of the scores {name} has no score at all.", pointer="/files")
