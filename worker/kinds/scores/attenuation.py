"""How far noise of measurement hides a correlation, where it is known on how many examples scores were measured.

A share p of n examples has a binomial variance of p (1 - p) / n. Reliability of a stage is 1 - mean of these / variance
of the scores over runs, and a correlation of true scores is the observed one over the root of both reliabilities
(Spearman, "The proof and measurement of association between two things", 1904).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LEAST = 0.2


@dataclass(frozen=True)
class Attenuation:
    """`corrected`: r of scores without noise, within [-1, 1], NaN with the reason where it cannot be had."""

    first: float
    second: float
    corrected: float
    reason: str = ""


def reliability(values: np.ndarray, variances: np.ndarray) -> float:
    """Of scores (M,) over runs with noise variances (M,); NaN where these are not all known or scores are constant."""
    if len(values) < 2 or not np.isfinite(variances).all():
        return math.nan
    spread = float(values.var(ddof=1))
    return 1 - float(variances.mean()) / spread if spread > 0 else math.nan


def correct(r: float, first: float, second: float) -> Attenuation:
    """The correlation r corrected for two reliabilities where both exceed 0.2: below, noise is divided by noise."""
    if not (math.isfinite(first) and math.isfinite(second)):
        return Attenuation(first, second, math.nan, "the noise of measurement is not known of every run")
    if min(first, second) <= LEAST:
        return Attenuation(first, second, math.nan, f"reliability is not above {LEAST:g}: most differences are noise")
    return Attenuation(first, second, float(np.clip(r / math.sqrt(first * second), -1, 1)))


def binomial_variance(values: np.ndarray, examples: np.ndarray) -> np.ndarray:
    """p (1 - p) / n elementwise; NaN where n is not known or p is not a share.

    A share of 0 or 1 gets the variance of (successes + 1) / (n + 2): measured on finitely many examples it is not sure.
    """
    share = (values * examples + 1) / (examples + 2)
    p = np.where((values == 0) | (values == 1), share, values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((values >= 0) & (values <= 1) & (examples > 0), p * (1 - p) / examples, np.nan)
