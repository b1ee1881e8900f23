"""After how many trainings a summary has paid for itself, with an interval from repeated timings.

With the summary a user pays for making it, for the search on it, and for k trainings; without it for the search on the
full data and for k trainings there. It has paid from the smallest k at which the first is not dearer. Timings scatter
by a factor rather than by an amount, so they are taken as log-normal: the mean of n timings has a Student t with n - 1
degrees of freedom. Searches and making were timed once; they scatter as one training does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.evidence.statistics import LEVEL, Estimate

NEEDED = 3
"""Timings of one training on either side, below which nothing is said of what pays."""
_RESAMPLES = 2000
_LEAST_S = 1e-6


@dataclass(frozen=True)
class Timings:
    """Seconds of one training, every time it was timed, and of one whole search."""

    fits: tuple[float, ...]
    search: float

    @property
    def mean(self) -> float:
        """The geometric mean of the timings."""
        return math.exp(float(np.mean(self._logs)))

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithms."""
        return float(np.std(self._logs, ddof=1)) if len(self.fits) > 1 else math.nan

    @property
    def estimate(self) -> Estimate:
        """One training, with the interval of its mean; unknown below `NEEDED` timings."""
        if len(self.fits) < NEEDED:
            return Estimate(self.mean, math.nan, math.nan, len(self.fits))
        low, high = _ends(self.mean * self.factors(np.random.default_rng(0)))
        return Estimate(self.mean, low, high, len(self.fits))

    def factors(self, rng: np.random.Generator, *, of_mean: bool = True) -> np.ndarray:
        """By how much the mean, or a single timing, may be off; (R,)."""
        n = len(self.fits)
        return np.exp(rng.standard_t(n - 1, _RESAMPLES) * self.spread / (math.sqrt(n) if of_mean else 1.0))

    @property
    def _logs(self) -> np.ndarray:
        return np.log(np.maximum(self.fits, _LEAST_S))


@dataclass(frozen=True)
class Payback:
    """The number of trainings, inf for never, with its interval; `because`: why it is not known, "" when it is."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    because: str = ""

    @property
    def known(self) -> bool:
        """Whether it is shown to pay: the whole interval lies below never."""
        return not self.because and math.isfinite(self.high)

    @property
    def words(self) -> str:
        """It as a reader says it."""
        if self.because:
            return f"unknown: {self.because}"
        if math.isinf(self.low):
            return "never"
        if math.isinf(self.high):
            return f"not shown: from {_count(self.low)} to never"
        if self.high == 0:
            return "with the first search"
        if self.value == 0:
            return f"with the first search, at the latest {_count(self.high)} later"
        return f"after the search and {_count(self.value)} [{self.low:.0f}, {self.high:.0f}]"


def payback(made_s: float | None, full: Timings, summary: Timings) -> Payback:
    """After how many trainings a summary that took `made_s` has paid for itself."""
    if made_s is None:
        return Payback(because="making it was not timed")
    if min(len(full.fits), len(summary.fits)) < NEEDED:
        return Payback(because="training was timed too seldom")
    rng = np.random.default_rng(0)
    fit_full, fit_summary = full.mean * full.factors(rng), summary.mean * summary.factors(rng)
    search_full = full.search * full.factors(rng, of_mean=False)
    search_summary = summary.search * summary.factors(rng, of_mean=False)
    made = made_s * full.factors(rng, of_mean=False)
    value = trainings(made_s, full.search, summary.search, full.mean, summary.mean)
    low, high = _ends(trainings(made, search_full, search_summary, fit_full, fit_summary))
    return Payback(float(value), min(low, float(value)), max(high, float(value)))


def trainings(
    made: np.ndarray | float,
    search_full: np.ndarray | float,
    search_summary: np.ndarray | float,
    fit_full: np.ndarray | float,
    fit_summary: np.ndarray | float,
) -> np.ndarray:
    """Smallest whole k >= 0 with made + search_summary + k fit_summary <= search_full + k fit_full; inf for never.

    Where a training on the summary is not faster the answer is never, even if its search was: later trainings lose it.
    """
    first, gain = np.asarray(made + search_summary - search_full), np.asarray(fit_full) - fit_summary
    with np.errstate(divide="ignore", invalid="ignore"):
        # The tolerance keeps a quotient that is whole but for rounding from counting one training too many.
        needed = np.maximum(np.ceil(first / gain - 1e-9), 0.0)
    return np.where(gain > 0, needed, np.inf)


def ratio(full: Timings, summary: Timings) -> Estimate:
    """How many times as long one training takes on the full data."""
    value, n = full.mean / summary.mean, min(len(full.fits), len(summary.fits))
    if n < NEEDED:
        return Estimate(value, math.nan, math.nan, n)
    rng = np.random.default_rng(0)
    low, high = _ends(value * full.factors(rng) / summary.factors(rng))
    return Estimate(value, low, high, n)


def _ends(values: np.ndarray) -> tuple[float, float]:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def _count(trainings: float) -> str:
    return "1 training" if trainings == 1 else f"{trainings:,.0f} trainings".replace(",", "\u202f")


def timings_of(fits: Sequence[tuple[float, ...]], searches: Sequence[float]) -> Timings:
    """Of several trainings of a learner on one set, each with its own timings and search."""
    return Timings(tuple(second for one in fits for second in one), float(np.mean(searches)))
