"""What a summary gives away: how near its rows come to real ones, and a membership attack on single events.

An attack that fails proves nothing: it is called an attack, and no guarantee.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from worker.evidence.measurements import PrivacyRow
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.splits import TEST, VALIDATION
from worker.kinds.interactions.summary import InteractionsSummary

Rows = sparse.csr_array
# Multiply-adds that looking for nearest rows may take; beyond it fewer summary rows are looked at.
_WORK = 1_000_000_000
_ROWS_AT_ONCE = 128
_ATTACKED = 2_000


def nearest_rows(data: Interactions, summary: InteractionsSummary, *, seed: int) -> tuple[PrivacyRow, ...]:
    """How near each summary row lies to the nearest real training row, and how near real users lie to each other."""
    real = data.training_rows()
    rng = np.random.default_rng([seed, 3])
    if not real.shape[0] or not summary.n_rows:
        return ()
    most = int(np.clip(_WORK // max(1, real.nnz), 20, 2000))
    chosen = np.sort(rng.choice(summary.n_rows, min(most, summary.n_rows), replace=False))
    others = np.sort(rng.choice(real.shape[0], min(len(chosen), real.shape[0]), replace=False))
    cosine, _, _ = nearest(Rows(summary.rows[chosen]), real)
    _, jaccard, equals = nearest(Rows(summary.hard[chosen]), real)
    usual, _, _ = nearest(Rows(real[others]), real, own=others)
    n = len(chosen)
    note = "the summary consists of real users' rows" if summary.real_rows else ""
    return (
        PrivacyRow("Nearest real row, median", float(np.median(cosine)), "cosine", n, note),
        PrivacyRow("Nearest real row, 95th percentile", float(np.quantile(cosine, 0.95)), "cosine", n),
        PrivacyRow("Nearest real row of the hard rows, median", float(np.median(jaccard)), "Jaccard", n),
        PrivacyRow("Rows identical to a real row", 100 * float(np.mean(equals > 0)), "% of rows", n),
        PrivacyRow("Rows identical to exactly one user's", 100 * float(np.mean(equals == 1)), "% of rows", n),
        PrivacyRow(
            "For comparison: a real user and the nearest other, median", float(np.median(usual)), "cosine", len(others)
        ),
    )


def nearest(rows: Rows, real: Rows, own: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Highest cosine and Jaccard (n,) of rows (n, I) with 0/1 rows (U, I), and how many real rows equal each.

    `own` (n,): for rows that are themselves real, which one; it is left out. Jaccard is of the patterns.
    """
    transposed = sparse.csc_array(real.T)
    real_sizes = np.diff(real.indptr).astype(np.float64)
    cosine, jaccard = np.zeros(rows.shape[0]), np.zeros(rows.shape[0])
    equal = np.zeros(rows.shape[0], dtype=np.int64)
    for start in range(0, rows.shape[0], _ROWS_AT_ONCE):
        part = Rows(rows[start : start + _ROWS_AT_ONCE])
        pattern = Rows((np.ones_like(part.data), part.indices, part.indptr), shape=part.shape)
        at = slice(start, start + part.shape[0])
        shared = (pattern @ transposed).toarray()
        weighted = shared if (part.data == 1).all() else (part @ transposed).toarray()
        norms = np.sqrt(np.asarray(part.multiply(part).sum(axis=1)).ravel())[:, None] * np.sqrt(real_sizes)
        union = np.diff(part.indptr)[:, None] + real_sizes - shared
        close = np.divide(weighted, norms, out=np.zeros_like(norms), where=norms > 0)
        alike = np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
        if own is not None:
            close[np.arange(part.shape[0]), own[at]] = 0
            alike[np.arange(part.shape[0]), own[at]] = 0
        cosine[at], jaccard[at] = close.max(axis=1), alike.max(axis=1)
        equal[at] = (alike == 1).sum(axis=1)
    return cosine.clip(max=1.0), jaccard, equal


def membership_attack(data: Interactions, summary: InteractionsSummary, *, seed: int) -> tuple[PrivacyRow, ...]:
    """Can an attacker who knows the rest of a user's events tell one that was trained on from one that was held out?

    For each user one training event is hidden, and both it and a held-out event of the same user are scored by the
    summary row that has the event and is most like the rest (cosine times weight). The share of users whose training
    event scores higher, ties as half, is the attack's AUC: 0.5 is guessing. Under a random split the two events differ
    in nothing but training; under a split by time drift adds to it.
    """
    train, held = data.train, data.part(VALIDATION, TEST)
    able = np.flatnonzero((np.diff(train.indptr) > 1) & (np.diff(held.indptr) > 0))
    if not len(able) or not summary.n_rows:
        return ()
    rng = np.random.default_rng([seed, 4])
    users = np.sort(rng.choice(able, min(_ATTACKED, len(able)), replace=False))
    hidden, other = (_one_event(part, users, rng) for part in (train, held))
    by_item = sparse.csc_array(summary.rows)
    norms = np.sqrt(np.asarray(summary.rows.multiply(summary.rows).sum(axis=1)).ravel())
    won = np.empty(len(users))
    for start in range(0, len(users), _ROWS_AT_ONCE):
        at = slice(start, start + _ROWS_AT_ONCE)
        rest = train[users[at]].tolil()
        rest[np.arange(rest.shape[0]), hidden[at]] = 0
        near = _cosine(Rows(rest.tocsr()), by_item, norms)
        mine, theirs = (_best(near, by_item, items[at]) for items in (hidden, other))
        won[at] = (mine > theirs) + 0.5 * (mine == theirs)
    mean, error = float(won.mean()), float(won.std() / np.sqrt(len(won)))
    return (
        PrivacyRow(
            "Membership attack on events: AUC, 0.5 is guessing",
            mean,
            "AUC",
            len(users),
            "an attack, no guarantee",
            max(0.0, mean - 1.96 * error),
            min(1.0, mean + 1.96 * error),
        ),
    )


def _one_event(rows: Rows, users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An item (n,) of each user's row, at random."""
    starts, lengths = rows.indptr[users], np.diff(rows.indptr)[users]
    return rows.indices[starts + (rng.random(len(users)) * lengths).astype(np.int64)]


def _cosine(rows: Rows, summary: sparse.csc_array, norms: np.ndarray) -> np.ndarray:
    """Cosine (b, n) of rows (b, I) with summary rows (n, I) of these norms (n,), 0 where one is empty."""
    shared = (rows @ summary.T).toarray()
    both = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())[:, None] * norms
    return np.divide(shared, both, out=np.zeros_like(shared, dtype=np.float64), where=both > 0)


def _best(near: np.ndarray, summary: sparse.csc_array, items: np.ndarray) -> np.ndarray:
    """Largest cosine times weight (b,) over the summary rows that have each item (b,)."""
    return (near * summary[:, items].toarray().T).max(axis=1)
