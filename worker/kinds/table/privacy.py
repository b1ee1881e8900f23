"""What a summary gives away: how near its rows come to real ones, and a membership attack by distance.

An attack that fails proves nothing: it is called an attack, and no guarantee.
"""

from __future__ import annotations

import numpy as np

from worker.evidence.measurements import PrivacyRow
from worker.evidence.membership import by_nearness
from worker.kinds.table.dataset import TEST, TRAIN, Table
from worker.kinds.table.summary import TableSummary

_LOOKED_AT, _CELLS = 2_000, 8_000_000


def privacy(data: Table, summary: TableSummary, *, seed: int) -> tuple[PrivacyRow, ...]:
    """Distances in the encoded features, and an attack that takes rows near the summary for rows it was made of."""
    rng = np.random.default_rng([seed, 3])
    train, test = data.train.x, data.rows(np.flatnonzero(data.split == TEST)).x
    own = summary.encoded.x
    made_of = own[np.sort(rng.permutation(len(own))[:_LOOKED_AT])]
    others = np.sort(rng.permutation(len(train))[:_LOOKED_AT])
    nearest = _nearest(made_of, train)
    usual = _nearest(train[others], train, leave=others)
    note = "the summary consists of real rows" if summary.rows is not None else ""
    return (
        PrivacyRow("Nearest real row, median", float(np.median(nearest)), "distance", len(made_of), note),
        PrivacyRow("Nearest real row, 5th percentile", float(np.quantile(nearest, 0.05)), "distance", len(made_of)),
        PrivacyRow(
            "Rows equal to a real row in every feature", 100 * float(np.mean(nearest < 1e-3)), "% of rows", len(made_of)
        ),
        PrivacyRow(
            "For comparison: a real row and the nearest other, median", float(np.median(usual)), "distance", len(others)
        ),
        *_attack(data, summary, train, test, own, rng),
    )


def _attack(
    data: Table, summary: TableSummary, train: np.ndarray, test: np.ndarray, own: np.ndarray, rng: np.random.Generator
) -> tuple[PrivacyRow, ...]:
    """AUC of nearness to the summary as a sign of having been trained on; 0.5 is guessing. Real rows that are in the
    summary, which anyone sees, are left out."""
    members = np.arange(len(train))
    if summary.rows is not None:
        members = np.setdiff1d(members, np.searchsorted(np.flatnonzero(data.split == TRAIN), summary.rows))
    members = rng.permutation(members)[:_LOOKED_AT]
    if not len(members) or not len(test):
        return ()
    inside = _nearest(train[members], own)
    outside = _nearest(test[rng.permutation(len(test))[:_LOOKED_AT]], own)
    return (by_nearness(-inside, -outside, "rows"),)


def _nearest(rows: np.ndarray, real: np.ndarray, leave: np.ndarray | None = None) -> np.ndarray:
    """Distance (n,) of each row to the nearest real one; `leave` (n,): real rows to pass over."""
    square = np.einsum("nd,nd->n", real, real)
    distance = np.empty(len(rows))
    block = max(1, _CELLS // max(1, len(real)))
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        apart = np.einsum("nd,nd->n", part, part)[:, None] + square - 2 * part @ real.T
        if leave is not None:
            apart[np.arange(len(part)), leave[start : start + block]] = np.inf
        best = apart.argmin(axis=1)
        distance[start : start + block] = np.linalg.norm(part - real[best], axis=1)  # exact where rows are equal
    return distance
