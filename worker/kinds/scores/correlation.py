"""Pearson, Spearman and Kendall's tau-b between two rows of numbers, under any weights of the runs.

A bootstrap resample of runs is a row of whole weights: how often each run was drawn. So one product of matrices gives a
statistic under all resamples, and the weights of a jackknife are of the same form. Ranks are midranks (ties share the
mean of their places), tau-b is that of Kendall, "The treatment of ties in ranking problems" (Biometrika, 1945).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""`(x (M,), y (M,), weights (R, M)) -> (R,)`; NaN where the drawn runs do not vary in x or in y."""


def pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson's r under every row of weights."""
    values = _product_moment(_standard(x)[None, :], _standard(y)[None, :], weights)
    return np.where(_varies(x, weights) & _varies(y, weights), values, np.nan)


def spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's rho under every row of weights: Pearson's r of the midranks among the drawn runs."""
    values = _product_moment(_ranks(x, weights), _ranks(y, weights), weights)
    return np.where(_varies(x, weights) & _varies(y, weights), values, np.nan)


def kendall(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Kendall's tau-b under every row of weights; pairs of one run with itself are ties in both."""
    first, second = _signs(x), _signs(y)
    alike = _pairs(first * second, weights)
    both = _pairs(np.abs(first), weights) * _pairs(np.abs(second), weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(both > 0, np.clip(alike / np.sqrt(both), -1, 1), np.nan)


STATISTICS: dict[str, Statistic] = {"pearson": pearson, "spearman": spearman, "kendall": kendall}
LABELS = {"pearson": "Pearson's r", "spearman": "Spearman's rho", "kendall": "Kendall's tau-b"}


def plain(statistic: Statistic, x: np.ndarray, y: np.ndarray) -> float:
    """The statistic with every run counted once; NaN when x or y is constant or of fewer than two runs."""
    return float(statistic(x, y, np.ones((1, len(x))))[0]) if len(x) > 1 else float("nan")


def midranks(x: np.ndarray) -> np.ndarray:
    """Places (M,) from 1, ties sharing the mean of theirs."""
    return _ranks(x, np.ones((1, len(x))))[0]


def _standard(x: np.ndarray) -> np.ndarray:
    """Centred and of range 1, so that neither large nor tiny numbers cost digits."""
    spread = np.ptp(x)
    return (x - x.mean()) / (spread if spread > 0 else 1.0)


def _product_moment(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1)  # where no run was drawn nothing varies
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    together = (weights * x * y).sum(axis=1)
    alone = (weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(together / np.sqrt(alone), -1, 1)


def _ranks(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Midranks (R, M) of all runs among the drawn ones; only those of drawn runs mean anything."""
    below, same = (x[:, None] > x[None, :]).astype(float), (x[:, None] == x[None, :]).astype(float)
    return weights @ below.T + (weights @ same.T + 1) / 2


def _varies(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Whether the drawn runs have two values at least; exact, whatever rounding makes of a variance."""
    drawn = weights > 0
    return np.where(drawn, x, -np.inf).max(axis=1) > np.where(drawn, x, np.inf).min(axis=1)


def _signs(x: np.ndarray) -> np.ndarray:
    return np.sign(np.subtract.outer(x, x))


def _pairs(signs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum over ordered pairs of drawn runs (R,)."""
    return ((weights @ signs) * weights).sum(axis=1)
