"""Metrics that exist only over all test units together, under many weightings of the units at once.

Weights of one everywhere give the value that scikit-learn calls `roc_auc_score`, `f1_score(average="macro")` and
`balanced_accuracy_score`. Whatever depends on the scores alone (sorting, ties, classes) is done once per column, not
once per resample. Weights come as (n, B), a weighting per column, so that picking units is picking rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from worker.evidence.measurements import Pooled

Evaluator = Callable[[np.ndarray], np.ndarray]
"""Weights of units (n, B) -> the metric under each weighting (B,); NaN where it is undefined."""


def evaluator(scores: Pooled) -> Evaluator:
    """The function that computes a pooled metric under weights."""
    columns = scores.columns
    if scores.statistic == "auc":
        return _auc(np.asarray(columns["label"]), np.asarray(columns["score"]))
    matrix = _Confusion(np.asarray(columns["label"]), np.asarray(columns["predicted"]))
    return matrix.macro_f1 if scores.statistic == "macro_f1" else matrix.balanced_accuracy


def _auc(label: np.ndarray, score: np.ndarray) -> Evaluator:
    """Probability that a positive unit scores above a negative one, ties counting half (Hanley and McNeil, 1982)."""
    positive, negative = np.flatnonzero(label > 0), np.flatnonzero(label <= 0)
    negative = negative[np.argsort(score[negative], kind="stable")]
    below = np.searchsorted(score[negative], score[positive], side="left")
    not_above = np.searchsorted(score[negative], score[positive], side="right")

    def evaluate(weights: np.ndarray) -> np.ndarray:
        lower = np.zeros((len(negative) + 1, weights.shape[1]))
        np.cumsum(weights[negative], axis=0, out=lower[1:])
        own = weights[positive]
        won = np.einsum("ib,ib->b", own, lower[below]) + np.einsum("ib,ib->b", own, lower[not_above])
        with np.errstate(divide="ignore", invalid="ignore"):
            return won / (2 * own.sum(axis=0) * lower[-1])

    return evaluate


class _Confusion:
    """What the confusion matrix of integer codes (n,) says of every class."""

    def __init__(self, label: np.ndarray, predicted: np.ndarray) -> None:
        classes, codes = np.unique(np.concatenate([label, predicted]), return_inverse=True)
        true, said = codes[: len(label)], codes[len(label) :]
        self._true, self._said = _members(true, len(classes)), _members(said, len(classes))
        self._right = _members(np.where(true == said, true, -1), len(classes))

    def macro_f1(self, weights: np.ndarray) -> np.ndarray:
        """Mean F1 of the classes that are true or predicted for some unit of weight."""
        right = np.asarray(self._right @ weights)
        return _mean_ratio(2 * right, self._true @ weights + self._said @ weights)

    def balanced_accuracy(self, weights: np.ndarray) -> np.ndarray:
        """Mean recall of the classes that are true for some unit of weight."""
        return _mean_ratio(self._right @ weights, self._true @ weights)


def _members(codes: np.ndarray, classes: int) -> sparse.csr_array:
    """Which units belong to each class (classes, n); code -1 belongs to none."""
    units = np.flatnonzero(codes >= 0)
    return sparse.csr_array((np.ones(len(units)), (codes[units], units)), shape=(classes, len(codes)))


def _mean_ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    there = bottom > 0
    ratio = np.divide(top, bottom, out=np.zeros_like(top), where=there)
    with np.errstate(divide="ignore", invalid="ignore"):
        return ratio.sum(axis=0) / there.sum(axis=0)
