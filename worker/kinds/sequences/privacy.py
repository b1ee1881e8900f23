"""How near the rows of a summary lie to real sequences."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from worker.evidence.measurements import PrivacyRow
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.summary import SequenceSummary

_ROWS = 500
_WORK = 200_000_000  # multiply-adds that looking for nearest rows may take


def nearest_rows(data: Sequences, summary: SequenceSummary, *, seed: int) -> tuple[PrivacyRow, ...]:
    """The share of a row's pairs (item, next item) that its nearest real training sequence has, too, and how many rows
    repeat a real one; beside it the same of real sequences against all others."""
    real = data.training().rows
    rng = np.random.default_rng([seed, 3])
    if not len(real) or not summary.n_rows:
        return ()
    most = int(np.clip(_WORK // max(1, len(real.items)), 20, _ROWS))
    chosen = np.sort(rng.choice(summary.n_rows, min(most, summary.n_rows), replace=False))
    others = np.sort(rng.choice(len(real), min(most, len(real)), replace=False))
    ours = summary.rows.take(chosen)
    codes = [rows.pairs(data.n_items)[1] for rows in (real, ours)]
    known_pairs = np.unique(np.concatenate(codes))
    pairs = transitions(real, data.n_items, known_pairs)
    found = overlap(transitions(ours, data.n_items, known_pairs), pairs)
    usual = overlap(transitions(real.take(others), data.n_items, known_pairs), pairs, own=others)
    known = {real.row(row).tobytes() for row in range(len(real))}
    same = np.array([ours.row(row).astype(np.int32).tobytes() in known for row in range(len(ours))])
    note = "the summary consists of real sequences" if summary.real_rows else ""
    measured = found[np.isfinite(found)]
    compared = usual[np.isfinite(usual)]
    rows = [
        PrivacyRow("Rows identical to a real training sequence", 100 * float(same.mean()), "% of rows", len(same), note)
    ]
    if len(measured):
        label = "Transitions shared with the nearest real sequence, median"
        rows.append(PrivacyRow(label, 100 * float(np.median(measured)), "% of the row's", len(measured)))
    if len(compared):
        label = "For comparison: a real sequence and the nearest other, median"
        rows.append(PrivacyRow(label, 100 * float(np.median(compared)), "% of the row's", len(compared)))
    return tuple(rows)


def transitions(rows: Rows, items: int, known: np.ndarray) -> sparse.csr_array:
    """Which of the `known` pairs (p,), sorted, among which all of theirs are, each row has, CSR float32 0/1 (n, p)."""
    owner, code = rows.pairs(items)
    column, shape = np.searchsorted(known, code), (len(rows), max(1, len(known)))
    table = sparse.csr_array(sparse.coo_array((np.ones(len(owner), np.float32), (owner, column)), shape=shape))
    table.sum_duplicates()
    table.data[:] = 1
    return table


def overlap(rows: sparse.csr_array, real: sparse.csr_array, own: np.ndarray | None = None) -> np.ndarray:
    """The largest share of each row's pairs that one real row has (n,), NaN for rows without pairs. `own` (n,): for
    rows that are themselves real, which one; it is left out."""
    by_pair = sparse.csc_array(real)
    by_pair.sum_duplicates()
    found = np.full(rows.shape[0], np.nan)
    sizes = np.diff(rows.indptr)
    for row in np.flatnonzero(sizes).tolist():
        pairs = rows.indices[rows.indptr[row] : rows.indptr[row + 1]]
        shared = np.bincount(by_pair[:, pairs].indices, minlength=1) if len(pairs) else np.zeros(1)
        if own is not None and own[row] < len(shared):
            shared[own[row]] = 0
        found[row] = shared.max(initial=0) / sizes[row]
    return found
