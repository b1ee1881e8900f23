"""Do benchmarks agree with each other on runs: at one stage, across stages, and is the pattern of it the same?

Matrices of benchmark against benchmark: entry (i, j) is Pearson's r over runs between benchmark i at one stage and j at
the same or the other (arXiv:2602.11217, protocols 3, 4 and 6). All take resamples of runs as rows of weights.
"""

from __future__ import annotations

import numpy as np

from worker.kinds.scores.correlation import pearson

_AT_ONCE = 20_000_000


def matrix(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlations (K, K) over the runs of `first` (M, K) with `second` (M, K); NaN for what is constant."""
    return matrices(first, second, np.ones((1, len(first))))[0]


def matrices(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The same under every row of weights (R, M) -> (R, K, K)."""
    count = first.shape[1]
    out = np.empty((len(weights), count, count))
    block = max(1, _AT_ONCE // max(1, first.size))
    for start in range(0, len(weights), block):
        rows = weights[start : start + block]
        a, b = _scores(first, rows), _scores(second, rows)
        out[start : start + block] = np.clip(np.einsum("rmi,rmj->rij", a, b, optimize=True), -1, 1)
    return out


def _scores(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Columns centred and scaled to length 1 under the weights, (R, M, K); NaN for columns that do not vary."""
    total = weights.sum(axis=1)[:, None, None]
    drawn = weights[:, :, None] > 0
    varies = np.where(drawn, x, -np.inf).max(axis=1) > np.where(drawn, x, np.inf).min(axis=1)
    spread = np.where(np.ptp(x, axis=0) > 0, np.ptp(x, axis=0), 1.0)
    scaled = (x - x.mean(axis=0)) / spread
    centred = scaled - (weights[:, :, None] * scaled).sum(axis=1, keepdims=True) / total
    centred = np.sqrt(weights)[:, :, None] * centred
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = centred / np.sqrt((centred**2).sum(axis=1, keepdims=True))
    return np.where(varies[:, None, :], unit, np.nan)


def within(correlations: np.ndarray) -> np.ndarray:
    """Mean over pairs i < j of matrices (..., K, K) of one stage; NaN of a single benchmark."""
    upper = np.triu_indices(correlations.shape[-1], 1)
    return _mean(correlations[..., upper[0], upper[1]])


def across(correlations: np.ndarray) -> np.ndarray:
    """Mean over pairs i != j of matrices (..., K, K) from one stage to another."""
    other = np.nonzero(~np.eye(correlations.shape[-1], dtype=bool))
    return _mean(correlations[..., other[0], other[1]])


def persistence(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's r between the upper triangles of two matrices (K, K); NaN of fewer than 3 known pairs."""
    upper = np.triu_indices(len(first), 1)
    a, b = first[upper], second[upper]
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 3:
        return float("nan")
    return float(pearson(a[known], b[known], np.ones((1, int(known.sum()))))[0])


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the last axis, of what is known."""
    known = np.isfinite(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1)
