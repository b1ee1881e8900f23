"""Intervals of a correlation over runs: percentile and BCa bootstrap, and Fisher's.

Percentile and BCa after Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 13 and 14.3. Fisher's
interval of Pearson's r has a standard error of 1 / sqrt(M - 3) for artanh r; that of Spearman's rho is widened to
sqrt((1 + rho^2 / 2) / (M - 3)) (Bonett and Wright, "Sample size requirements for estimating Pearson, Kendall and
Spearman correlations", Psychometrika 2000), that of Kendall's tau is sqrt(0.437 / (M - 4)) (the same).

With few runs a bootstrap is too sure: of 5 runs there are 126 different resamples, and when all runs agree every one of
them says 1. So `Interval.widest` takes the outer end of BCa and Fisher on each side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from worker.kinds.scores.correlation import STATISTICS, plain

LEVEL = 0.95
_AT_ONCE = 40_000_000
NOTHING = (math.nan, math.nan)
Ends = tuple[float, float]


@dataclass(frozen=True)
class Interval:
    """A correlation of `runs` runs with its 95 % intervals, NaN where there is none.

    `skipped`: resamples in which one side did not vary, of `resamples`; they count in no interval. `drawn`: the
    statistic under every resample (R,), NaN where skipped. `inflation`: see `worker.kinds.scores.clusters`.
    """

    statistic: str
    value: float
    runs: int
    percentile: Ends
    bca: Ends
    fisher: Ends
    skipped: int
    resamples: int
    drawn: np.ndarray
    inflation: float = 1.0

    @property
    def effective(self) -> float:
        """How many unrelated runs these are worth; not below 5, of which none is sure."""
        return min(self.runs, max(5.0, self.runs / self.inflation))

    @property
    def widest(self) -> Ends:
        """On each side the outer end of BCa and Fisher; unknown where Fisher's is."""
        if not math.isfinite(self.fisher[0]):
            return NOTHING
        return float(np.fmin(self.bca[0], self.fisher[0])), float(np.fmax(self.bca[1], self.fisher[1]))


def resamples_of(runs: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each run is drawn, (resamples, runs) float64: as many draws as runs, with replacement."""
    drawn = rng.integers(0, runs, (resamples, runs)) + runs * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=runs * resamples).reshape(resamples, runs).astype(np.float64)


def interval(
    statistic: str, x: np.ndarray, y: np.ndarray, weights: np.ndarray, tick: Callable[[], None] = lambda: None,
    inflation: float = 1.0,
) -> Interval:  # fmt: skip
    """A statistic of x and y (M,) with its intervals; `weights`: resamples (R, M) of the runs; `inflation`: what the
    likeness of runs does to its variance, which Fisher's interval is widened by.

    `tick` is called between blocks of resamples, which take about a tenth of a second.
    """
    of = STATISTICS[statistic]
    value = plain(of, x, y)
    if not math.isfinite(value):
        return Interval(statistic, value, len(x), NOTHING, NOTHING, NOTHING, 0, 0, np.full(len(weights), np.nan))
    block = max(1, _AT_ONCE // len(x) ** 2)
    parts: list[np.ndarray] = []
    for start in range(0, len(weights), block):
        tick()
        parts.append(of(x, y, weights[start : start + block]))
    drawn = np.concatenate(parts)
    known = drawn[np.isfinite(drawn)]
    jackknife = of(x, y, 1.0 - np.eye(len(x))) if len(x) > 2 else np.empty(0)
    found = Interval(
        statistic,
        value,
        len(x),
        percentile(known),
        bca(known, value, jackknife),
        NOTHING,
        len(drawn) - len(known),
        len(drawn),
        drawn,
        inflation,
    )
    return replace(found, fisher=fisher(statistic, value, found.effective))


def percentile(drawn: np.ndarray, level: float = LEVEL) -> Ends:
    """The central interval of what was drawn; NaN of fewer than 100 draws."""
    if len(drawn) < 100:
        return NOTHING
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bca(drawn: np.ndarray, value: float, jackknife: np.ndarray, level: float = LEVEL) -> Ends:
    """Bias-corrected and accelerated. Draws equal to the value count half below it, since ranks draw few values.

    NaN of fewer than 100 draws, and where leaving one run out leaves nothing that varies.
    """
    if len(drawn) < 100 or not len(jackknife) or not np.isfinite(jackknife).all():
        return NOTHING
    below = (np.count_nonzero(drawn < value) + 0.5 * np.count_nonzero(drawn == value)) / len(drawn)
    bias = float(ndtri(np.clip(below, 0.5 / len(drawn), 1 - 0.5 / len(drawn))))
    apart = jackknife.mean() - jackknife
    spread = float((apart**2).sum())
    acceleration = float((apart**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    ends = []
    for z in (float(ndtri((1 - level) / 2)), float(ndtri((1 + level) / 2))):
        shifted = bias + z
        bent = 1 - acceleration * shifted
        # Beyond its pole the transformation turns round: the end is then the last draw on that side.
        place = ndtr(bias + shifted / bent) if bent > 0 else ndtr(math.copysign(math.inf, shifted))
        ends.append(float(np.quantile(drawn, float(place))))
    return ends[0], ends[1]


def fisher(statistic: str, value: float, runs: float, level: float = LEVEL) -> Ends:
    """Fisher's interval; NaN of fewer than 4 runs (5 for tau)."""
    error = standard_error(statistic, value, runs)
    if not math.isfinite(error):
        return NOTHING
    z, reach = math.atanh(value_within(statistic, value, runs)), float(ndtri((1 + level) / 2)) * error
    return math.tanh(z - reach), math.tanh(z + reach)


def standard_error(statistic: str, value: float, runs: float) -> float:
    """Of the artanh of the statistic; NaN where there are too few runs."""
    spare = runs - (4 if statistic == "kendall" else 3)
    if spare <= 0:
        return math.nan
    share = {"pearson": 1.0, "spearman": 1 + value**2 / 2, "kendall": 0.437}[statistic]
    return math.sqrt(share / spare)


def value_within(statistic: str, value: float, runs: float) -> float:
    """The value, kept half a step away from 1 and -1, where artanh is infinite and an interval would have no width.

    The step of a rank statistic is what it loses when two neighbours change places: 12 / (M (M^2 - 1)) of rho,
    4 / (M (M - 1)) of tau. Pearson's r has no step and stops at rounding.
    """
    steps = {"pearson": 1e-12, "spearman": 12 / (runs * (runs**2 - 1)), "kendall": 4 / (runs * (runs - 1))}
    step = steps[statistic]
    return min(max(value, -1 + step / 2), 1 - step / 2)
