"""Intervals of estimates: normal, Student, floored normal, bootstrap, Hoeffding, empirical Bernstein; differences.

All are two-sided at level 1 - alpha on the per-round values of `PerRound`. Hoeffding and Bernstein need *known* bounds
of weights and rewards; obp 0.5.7 puts the largest weight of the sample there, which guarantees nothing, so ours refuse.
On smoothed, clipped or marginal weights every interval is about the estimator's own mean: it ignores smoothing bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit.bootstrap import replicates
from worker.kinds.bandit.estimators.per_round import PerRound
from worker.kinds.bandit.gain.claim import mean_of
from worker.kinds.bandit.policies import Floats

Method = Literal["floored", "normal", "student", "bootstrap", "bernstein", "hoeffding", "bounds"]
Units = NDArray[np.integer]
_LEAST_VARIANCE = 0.02


@dataclass(frozen=True)
class Interval:
    """An interval around an estimate. `valid` False: nothing is known to cover here, so show it as unreliable."""

    value: float
    low: float
    high: float
    method: Method
    alpha: float
    valid: bool = True

    @property
    def half_width(self) -> float:
        """Half of high - low."""
        return (self.high - self.low) / 2


def normal(estimate: PerRound, alpha: float = 0.05, unit: Units | None = None) -> Interval:
    """value ± z se; the delta method for ratios. Only to be trusted from a policy ESS of about 100.

    `unit` (n,): user from 0 of every round; the spread is then that of users' sums, and z a t quantile whose degrees of
    freedom fall with few or unequal users.
    """
    return _around(estimate, half_width(estimate, alpha, unit), "normal", alpha)


def student(estimate: PerRound, alpha: float = 0.05, unit: Units | None = None) -> Interval:
    """value ± t_{n-1} se; with units as `normal`."""
    if unit is not None:
        return _around(estimate, half_width(estimate, alpha, unit), "student", alpha)
    quantile = float(stats.t.ppf(1 - alpha / 2, estimate.size - 1))
    return _around(estimate, quantile * estimate.se, "student", alpha)


def half_width(estimate: PerRound, alpha: float, unit: Units | None = None) -> float:
    """Half of the normal interval, or of the t interval over units; infinite below five units."""
    if unit is None:
        return float(stats.norm.ppf(1 - alpha / 2)) * estimate.se
    mean = mean_of(estimate.influence, 0.0, estimate.rounds, unit)
    return float(stats.t.ppf(1 - alpha / 2, mean.df)) * mean.se if mean.se > 0 else 0.0


def floored(
    estimate: PerRound,
    policy_ess: float,
    alpha: float = 0.05,
    *,
    reward_range: tuple[float, float] | None = None,
    reward_variance: float | None = None,
    reward_mean: float | None = None,
    unit: Units | None = None,
) -> Interval:
    """value ± z max(se, sqrt(v / policy_ess)): the sample's spread cannot show the large weights it has not drawn.

    v = u (1 - u), u the estimate scaled to [0, 1] by `reward_range`, at least 0.02 or, with `reward_mean` m of the log
    scaled alike, m (1 - m) where that is less: where rewards are rare, they are as rare for the floor. With
    `reward_variance` too, v is scaled by what share of m (1 - m) the rewards' variance is, 1 for two rewards at the
    ends. Without a range v is `reward_variance`, required then. Valid from a policy ESS of 1; nothing covers below.
    """
    if reward_range is not None:
        low, high = reward_range
        u = min(max((estimate.value - low) / (high - low), 0.0), 1.0)
        least, scale = _LEAST_VARIANCE, (high - low) ** 2
        if reward_mean is not None:
            # One more reward at either end, so that a log without any event keeps a floor.
            m = ((reward_mean - low) / (high - low) * estimate.size + 1) / (estimate.size + 2)
            least = min(least, m * (1 - m))
            if reward_variance is not None:
                scale *= min(1.0, (reward_variance / scale + 1 / estimate.size) / (m * (1 - m)))
        variance = scale * max(u * (1 - u), least)
    elif reward_variance is not None:
        variance = reward_variance
    else:
        raise ValueError("a floored interval needs the range or the variance of the rewards")
    floor = float(np.sqrt(variance / policy_ess)) if policy_ess > 0 else float("inf")
    half = max(half_width(estimate, alpha, unit), float(stats.norm.ppf(1 - alpha / 2)) * floor)
    found = _around(estimate, half, "floored", alpha)
    return found if policy_ess >= 1 else Interval(found.value, found.low, found.high, "floored", alpha, valid=False)


def bootstrap(
    estimate: PerRound,
    alpha: float = 0.05,
    *,
    draws: int = 1000,
    seed: int = 0,
    cluster: NDArray[np.integer] | None = None,
    ctx: Context | None = None,
) -> Interval:
    """The central percentiles of resampled values; `cluster` (n,) resamples whole users."""
    values = replicates([estimate], draws, seed, cluster, ctx)[0]
    low, high = np.quantile(values, [alpha / 2, 1 - alpha / 2])
    return Interval(estimate.value, float(low), float(high), "bootstrap", alpha)


def hoeffding(estimate: PerRound, bounds: tuple[float, float], alpha: float = 0.05) -> Interval:
    """value ± (hi - lo) sqrt(log(2/alpha) / (2n)) for per-round values known to lie in `bounds`; plain means only."""
    _only_means(estimate, "Hoeffding")
    width = bounds[1] - bounds[0]
    half = width * float(np.sqrt(np.log(2 / alpha) / (2 * estimate.size)))
    return _around(estimate, half, "hoeffding", alpha)


def bernstein(
    estimate: PerRound, bounds: tuple[float, float], alpha: float = 0.05, *, one_sided: bool = False
) -> Interval:
    """Empirical Bernstein (Maurer, Pontil 2009): sqrt(2 s^2 L / n) + 7 (hi - lo) L / (3 (n - 1)), plain means only.

    L = log(4/alpha) two-sided; log(2/alpha) one-sided, where the upper end is infinite.
    """
    _only_means(estimate, "the empirical Bernstein bound")
    log = float(np.log((2 if one_sided else 4) / alpha))
    size = estimate.size
    half = float(np.sqrt(2 * log)) * estimate.se + 7 * (bounds[1] - bounds[0]) * log / (3 * (size - 1))
    found = _around(estimate, half, "bernstein", alpha)
    return Interval(found.value, found.low, float("inf"), "bernstein", alpha) if one_sided else found


def per_round_bounds(
    weight_bound: float | None, reward_range: tuple[float, float] | None, *, model: bool = False
) -> tuple[float, float]:
    """Bounds of w r, w in [0, weight_bound] and r in `reward_range`; with `model` of dm + w (r - q), q there too.

    Errors: `weights_bound_required`, `reward_bounds_required`: a bound must be declared or follow from the policies.
    """
    if weight_bound is None or not np.isfinite(weight_bound):
        raise JobError(
            "weights_bound_required",
            "this interval needs a bound of the weights that is known beforehand",
            hint="set w_max, or choose ci floored, normal, student or bootstrap",
            pointer="/params/w_max",
        )
    if reward_range is None:
        raise JobError(
            "reward_bounds_required",
            "this interval needs declared bounds of the reward",
            hint="set r_min and r_max, or choose ci floored, normal, student or bootstrap",
            pointer="/params/r_min",
        )
    low, high = reward_range
    if model:
        return low - weight_bound * (high - low), high + weight_bound * (high - low)
    return min(0.0, weight_bound * low), max(0.0, weight_bound * high)


def within(found: Interval, limits: tuple[float, float] | None) -> Interval:
    """An interval without the values that no mean of rewards can have; an estimate beyond them stays inside its own."""
    if limits is None:
        return found
    low, high = min(limits[0], found.value), max(limits[1], found.value)
    return replace(found, low=max(found.low, low), high=min(found.high, high))


@dataclass(frozen=True)
class Difference:
    """value = first - second on the same rounds, its standard error, interval, and two-sided p value."""

    value: float
    se: float
    low: float
    high: float
    p: float


def difference(first: PerRound, second: PerRound, alpha: float = 0.05, unit: Units | None = None) -> Difference:
    """The paired difference: the spread of z_first - z_second, which is small where the policies agree.

    `unit` (n,): user from 0 of every round, as for `normal`; se and p follow the t distribution then.
    """
    value = first.value - second.value
    paired = PerRound(first.influence - second.influence, np.zeros(first.n), rounds=first.rounds)
    se, df = paired.se, np.inf
    if unit is not None:
        mean = mean_of(paired.influence, 0.0, paired.rounds, unit)
        se, df = mean.se, mean.df
    half = float(stats.t.ppf(1 - alpha / 2, df)) * se
    p = float(2 * stats.t.sf(abs(value) / se, df)) if se > 0 else float(value == 0)
    return Difference(value, se, value - half, value + half, p)


def bootstrap_difference(
    first: PerRound,
    second: PerRound,
    alpha: float = 0.05,
    *,
    draws: int = 1000,
    seed: int = 0,
    cluster: NDArray[np.integer] | None = None,
    ctx: Context | None = None,
) -> Difference:
    """The paired difference under common resamples; p is twice the smaller share of replicates beyond 0."""
    a, b = replicates([first, second], draws, seed, cluster, ctx)
    low, high = np.quantile(a - b, [alpha / 2, 1 - alpha / 2])
    below, above = float(np.mean(a - b <= 0)), float(np.mean(a - b >= 0))
    p = min(1.0, max(2 * min(below, above), 2 / draws))
    return Difference(first.value - second.value, float(np.std(a - b, ddof=1)), float(low), float(high), p)


def holm(p_values: Sequence[float]) -> Floats:
    """Holm's adjusted p values (k,): each may be compared with alpha, and the family error stays below it."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def equivalent(found: Difference, margin: float) -> float:
    """TOST: the p value of |difference| >= margin; below alpha the two policies are within the margin."""
    if found.se <= 0:
        return float(abs(found.value) >= margin)
    lower = stats.norm.sf((found.value + margin) / found.se)
    upper = stats.norm.sf((margin - found.value) / found.se)
    return float(max(lower, upper))


def _around(estimate: PerRound, half: float, method: Method, alpha: float) -> Interval:
    return Interval(estimate.value, estimate.value - half, estimate.value + half, method, alpha)


def _only_means(estimate: PerRound, name: str) -> None:
    if estimate.self_normalised:
        raise JobError(
            "unsupported",
            f"{name} bounds a mean of bounded values, and a self-normalised estimate is a ratio of two",
            hint="choose ci floored or bootstrap, or an estimator that is not self-normalised",
            pointer="/params/ci",
        )
