"""Metrics that exist only over all test units together, under many weightings of the units at once.

Weights of one everywhere give the value that scikit-learn calls `roc_auc_score`, `f1_score(average="macro")` and
`balanced_accuracy_score`. Whatever depends on the scores alone (sorting, ties, the cells of the confusion matrix) is
done once per column, not once per resample.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worker.evidence.measurements import Pooled

Evaluator = Callable[[np.ndarray], np.ndarray]
"""Weights of units (B, n) -> the metric under each weighting (B,); NaN where it is undefined."""


def evaluator(scores: Pooled) -> Evaluator:
    """The function that computes a pooled metric under weights."""
    columns = scores.columns
    if scores.statistic == "auc":
        return _auc(np.asarray(columns["label"]), np.asarray(columns["score"]))
    matrix = _Confusion(np.asarray(columns["label"]), np.asarray(columns["predicted"]))
    return matrix.macro_f1 if scores.statistic == "macro_f1" else matrix.balanced_accuracy


def _auc(label: np.ndarray, score: np.ndarray) -> Evaluator:
    """Probability that a positive unit scores above a negative one, ties counting half (Hanley and McNeil, 1982)."""
    order = np.argsort(score, kind="stable")
    ordered, positive = score[order], label[order] > 0
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])

    def evaluate(weights: np.ndarray) -> np.ndarray:
        above = np.add.reduceat(weights[:, order] * positive, starts, axis=1)
        below = np.add.reduceat(weights[:, order] * ~positive, starts, axis=1)
        won = np.cumsum(below, axis=1) - 0.5 * below
        with np.errstate(divide="ignore", invalid="ignore"):
            return (above * won).sum(axis=1) / (above.sum(axis=1) * below.sum(axis=1))

    return evaluate


class _Confusion:
    """The confusion matrix of integer codes (n,), summed over the cells that occur."""

    def __init__(self, label: np.ndarray, predicted: np.ndarray) -> None:
        classes, codes = np.unique(np.concatenate([label, predicted]), return_inverse=True)
        true, said = codes[: len(label)], codes[len(label) :]
        cells, cell = np.unique(true * len(classes) + said, return_inverse=True)
        self._order = np.argsort(cell, kind="stable")
        self._starts = np.searchsorted(cell[self._order], np.arange(len(cells)))
        self._true = (cells // len(classes))[:, None] == np.arange(len(classes))
        self._said = (cells % len(classes))[:, None] == np.arange(len(classes))

    def _sums(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weight of every class (B, classes): rightly predicted, true, and predicted."""
        cells = np.add.reduceat(weights[:, self._order], self._starts, axis=1)
        return cells @ (self._true & self._said).astype(float), cells @ self._true, cells @ self._said

    def macro_f1(self, weights: np.ndarray) -> np.ndarray:
        """Mean F1 of the classes that are true or predicted for some unit of weight."""
        right, true, said = self._sums(weights)
        return _mean_ratio(2 * right, true + said)

    def balanced_accuracy(self, weights: np.ndarray) -> np.ndarray:
        """Mean recall of the classes that are true for some unit of weight."""
        right, true, _ = self._sums(weights)
        return _mean_ratio(right, true)


def _mean_ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    there = bottom > 0
    ratio = np.divide(top, bottom, out=np.zeros_like(top), where=there)
    with np.errstate(divide="ignore", invalid="ignore"):
        return ratio.sum(axis=1) / there.sum(axis=1)
