"""SLOPE and SLOPE++: how much smoothing, by the overlap of intervals (Su et al. 2020; Tucker, Lee 2021).

Candidates run from least biased and widest to most biased and narrowest. Sample widths are far too small when large
weights are rare, which no ordering cures; the policy ESS of `selection.default` therefore decides by default.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from worker.kinds.bandit.estimators import Estimator
from worker.kinds.bandit.estimators.per_round import PerRound, Terms
from worker.kinds.bandit.policies import Floats

DELTA = 0.05


def slope(theta: Floats, width: Floats) -> int:
    """The last i such that the intervals theta_j +- 2 width_j, j <= i, have a point in common."""
    low = np.maximum.accumulate(theta - 2 * width)
    high = np.minimum.accumulate(theta + 2 * width)
    return _last_before_failure(low <= high)


def slope_pp(theta: Floats, width: Floats) -> int:
    """The last i up to which |theta_i - theta_j| <= width_i + (sqrt(6) - 1) width_j for all j < i."""
    reach = width[:, None] + (np.sqrt(6.0) - 1.0) * width[None, :]
    near = np.abs(theta[:, None] - theta[None, :]) <= reach
    return _last_before_failure(np.all(near | ~np.tri(len(theta), k=-1, dtype=bool), axis=1))


def _last_before_failure(accepted: NDArray[np.bool_]) -> int:
    """Index of the last candidate accepted before the first that is not; the first is always accepted."""
    failed = np.flatnonzero(~accepted[1:])
    return int(failed[0]) if len(failed) else len(accepted) - 1


def half_width(estimate: PerRound, delta: float = DELTA) -> float:
    """Half-width of a two-sided interval: Student's t of a mean, the delta method of a self-normalised ratio.

    A mean takes t_{n-1} sqrt(var / (n - 1)) with the population variance, a ratio z sqrt(sum w^2 (r - v)^2) / sum w.
    """
    n = estimate.n
    if not estimate.self_normalised:
        return float(stats.t.ppf(1 - delta / 2, n - 1)) * estimate.se
    spread = estimate.influence - estimate.value
    rounds = np.ones(n) if estimate.rounds is None else estimate.rounds
    return float(stats.norm.ppf(1 - delta / 2) * np.sqrt(np.sum((rounds * spread) ** 2)) / estimate.size)


def along_path(estimates: list[PerRound], rule: str, delta: float = DELTA) -> int:
    """The candidate that `slope` or `slope_pp` picks among estimates given from least to most smoothing.

    Means keep that order and their widths are made monotone (running maximum from the smooth end); ratios are sorted
    by width. Each is the better of the two for its form, measured with rare large weights.
    """
    theta = np.array([estimate.value for estimate in estimates])
    width = np.array([half_width(estimate, delta) for estimate in estimates])
    order = np.arange(len(theta))
    if all(estimate.self_normalised for estimate in estimates):
        order = np.argsort(-width, kind="stable")
    else:
        width = np.maximum.accumulate(width[::-1])[::-1]
    pick = slope if rule == "slope" else slope_pp
    return int(order[pick(theta[order], width[order])])


def tuned(estimator: Estimator, terms: Terms, rule: str = "slope_pp", delta: float = DELTA) -> float:
    """The hyper-parameter of an estimator among its grid: limits from the largest down, amounts from the smallest up.

    Weights and predictions are computed once for the whole grid. Raises `ValueError` for an estimator without one.
    """
    hyper = estimator.hyper
    if hyper is None:
        raise ValueError(f"{estimator.name} has nothing to tune")
    grid = sorted(hyper.grid, reverse=hyper.name == "limit")
    return grid[along_path([estimator(terms, value) for value in grid], rule, delta)]
