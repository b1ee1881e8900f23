"""How far confidence can be believed, from single examples: (n,) confidence in [0, 1] and whether it was correct.

Expected and maximum calibration error after Naeini, Cooper and Hauskrecht (AAAI 2015) with bins of equal width, closed
at the left, or of equal counts; Brier score and log loss; area under the ROC curve of confidence as a detector of
correct answers; area under the risk-coverage curve after Geifman and El-Yaniv (NeurIPS 2017). All take weights (B, n),
how often each example was drawn, and give (B,).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EPSILON = 1e-6


def equal_width(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Number of the bin [b / bins, (b + 1) / bins) of every example; 1 belongs to the last."""
    edges = np.arange(1, bins) / bins
    return np.searchsorted(edges, confidence, side="right")


def equal_count(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Number of the bin of every example, of about n / bins each; equal confidences are never parted."""
    ordered = np.sort(confidence)
    places = np.searchsorted(ordered, confidence, side="left")
    return places * bins // len(confidence)


@dataclass(frozen=True)
class Bins:
    """What lies in every bin under every row of weights, (B, bins): counts, correct ones, sums of confidence."""

    count: np.ndarray
    correct: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray, confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> Bins:
        """Sums over the examples of each bin; `numbers`: (n,) the bin of each."""
        order = _order(numbers)
        starts = np.flatnonzero(np.r_[True, np.diff(numbers[order]) > 0])
        drawn = weights[:, order]
        count = np.add.reduceat(drawn, starts, axis=1)
        right, sure = (np.add.reduceat(drawn * x[order], starts, axis=1) for x in (correct, confidence))
        return cls(count, right, sure)

    @property
    def gaps(self) -> np.ndarray:
        """|accuracy - confidence| of every bin, 0 of an empty one."""
        return np.abs(self.correct - self.confidence) / np.maximum(self.count, 1)

    @property
    def expected(self) -> np.ndarray:
        """Expected calibration error."""
        return (self.gaps * self.count).sum(axis=1) / self.count.sum(axis=1)

    @property
    def maximum(self) -> np.ndarray:
        """Maximum calibration error."""
        return self.gaps.max(axis=1)


def brier(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of (confidence - correct)^2."""
    return weights @ (confidence - correct) ** 2 / weights.sum(axis=1)


def log_loss(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of -log of the probability of what happened, in nats; confidence is kept 1e-6 away from 0 and 1."""
    p = np.clip(confidence, EPSILON, 1 - EPSILON)
    return weights @ -(correct * np.log(p) + (1 - correct) * np.log1p(-p)) / weights.sum(axis=1)


def auroc(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Chance that a correct example is more confident than a wrong one, ties counting half; NaN where all are alike."""
    starts, order = _levels(confidence, rising=True)
    right = np.add.reduceat(weights[:, order] * correct[order], starts, axis=1)
    wrong = np.add.reduceat(weights[:, order] * (1 - correct[order]), starts, axis=1)
    below = np.cumsum(wrong, axis=1) - wrong / 2
    pairs = right.sum(axis=1) * wrong.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pairs > 0, (right * below).sum(axis=1) / pairs, np.nan)


def risk_coverage(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over coverages 1/n, 2/n, ... of the share of errors among the most confident; ties answer alike."""
    starts, order = _levels(confidence, rising=False)
    sizes = np.diff(np.r_[starts, len(confidence)])
    drawn = weights[:, order]
    count = np.add.reduceat(drawn, starts, axis=1)
    errors = np.add.reduceat(drawn * (1 - correct[order]), starts, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        # within a level every example answers with the level's mean error
        even = np.repeat(np.where(count > 0, errors / count, 0.0), sizes, axis=1)
        covered = np.cumsum(drawn, axis=1)
        risk = np.cumsum(drawn * even, axis=1) / covered
    return np.where(drawn > 0, drawn * risk, 0.0).sum(axis=1) / drawn.sum(axis=1)


def _levels(confidence: np.ndarray, *, rising: bool) -> tuple[np.ndarray, np.ndarray | slice]:
    """Where each distinct confidence starts in this order of the examples, and the order."""
    order = _order(confidence)
    if not rising:
        order = slice(None, None, -1) if isinstance(order, slice) else order[::-1]
    return np.flatnonzero(np.r_[True, np.diff(confidence[order]) != 0]), order


def _order(values: np.ndarray) -> np.ndarray | slice:
    """The rising order of values (n,). Of sorted ones it is a slice, which copies none of the weights."""
    return slice(None) if (values[1:] >= values[:-1]).all() else np.argsort(values, kind="stable")
