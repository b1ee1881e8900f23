"""Sampling without replacement by unequal weights, and how likely each unit was to be in the sample.

`gumbel`: the k largest of log w + Gumbel noise (Efraimidis and Spirakis, 2006, in logarithms), which is drawing one
after the other in proportion to the weights that are left. The probability of being in is then *not* k w / sum(w):
weights 1, 1, 1, 2, 4 and k = 2 give 0.2595, 0.4833 and 0.7381. It is computed exactly for few units, and for many by
Rosen's limit (1997, order sampling with exponential clocks): 1 - exp(-w t) with the t at which these sum to k.

`poisson` and `systematic` start from the probabilities min(1, c w) and keep to them exactly, so that values divided by
them add up to unbiased totals: independent coin tosses, or equal steps through the units in a random order, which hits
the size within one.

Where the noise is a function of a unit's name, neither order nor the division into shards changes a sample.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

EXACT_UP_TO = 16  # units: all their subsets are gone through


def clipped(weights: np.ndarray, ratio: float) -> np.ndarray:
    """Positive weights with small ones raised until the largest is at most `ratio` times the smallest."""
    return np.maximum(weights, weights.max() / ratio)


def effective_size(weights: np.ndarray) -> float:
    """(sum w)^2 / sum w^2: how many equal weights would be as even as these (Kish, 1965)."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def proportional_inclusion(weights: np.ndarray, size: float, sizes: np.ndarray | None = None) -> np.ndarray:
    """Probabilities min(1, c w), float64 (n,), whose sum is `size`; with `sizes` (n,): whose expected size is.

    Bisection on c. Raises `ValueError` where all units together are smaller than `size`.
    """
    sizes = np.ones(len(weights)) if sizes is None else np.asarray(sizes, np.float64)
    if size >= sizes.sum():
        if size > sizes.sum():
            raise ValueError("more was asked for than there is")
        return np.ones(len(weights))
    return _solved(lambda c: np.minimum(1.0, c * weights), size, sizes)


def successive_inclusion(weights: np.ndarray, size: int) -> tuple[np.ndarray, bool]:
    """Probabilities of being among the `size` largest keys of `gumbel` (n,); and whether they are exact: up to 16."""
    w = np.asarray(weights, np.float64)
    if size >= len(w):
        return np.ones(len(w)), True
    if len(w) <= EXACT_UP_TO:
        return _by_subsets(w, size), True
    return _solved(lambda t: -np.expm1(-t * w), size, np.ones(len(w))), False


def poisson(inclusion: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Units drawn independently, int64 sorted, by noise uniform on (0, 1); how many is random, about the sum."""
    return np.flatnonzero(noise < inclusion)


def systematic(inclusion: np.ndarray, noise: np.ndarray, start: float) -> np.ndarray:
    """Units hit by steps of 1 from `start` in [0, 1) through the units in order of their noise, int64 sorted.

    As many as the sum of `inclusion`, within one. Some pairs may have no chance of being in together.
    """
    order = np.argsort(noise, kind="stable")
    ends = np.cumsum(inclusion[order])
    if abs(ends[-1] - round(ends[-1])) < 1e-6:
        ends *= round(ends[-1]) / ends[-1]  # rounding must not cost or add a unit
    hits = np.ceil(ends - start) - np.ceil(np.concatenate(([0.0], ends[:-1])) - start)
    return np.sort(order[hits > 0])


def _solved(inclusion: Callable[[float], np.ndarray], size: float, sizes: np.ndarray) -> np.ndarray:
    """The increasing family of probabilities at the point where they add up to `size`."""
    low, high = 0.0, 1.0
    while inclusion(high) @ sizes < size:
        high *= 2
        if high > 1e300:
            raise ValueError("units of weight 0 are needed to come to the size")
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if inclusion(middle) @ sizes < size else (low, middle)
    return inclusion(high)


def _by_subsets(w: np.ndarray, size: int) -> np.ndarray:
    """Sum over all sets of units of the probability that they are the first `size` drawn."""
    reached: dict[int, float] = {0: 1.0}
    for _ in range(size):
        further: dict[int, float] = {}
        for taken, probability in reached.items():
            left = [i for i in range(len(w)) if not taken >> i & 1]
            total = float(sum(w[i] for i in left))
            for i in left:
                further[taken | 1 << i] = further.get(taken | 1 << i, 0.0) + probability * float(w[i]) / total
        reached = further
    inside = np.zeros(len(w))
    for taken, probability in reached.items():
        inside += [probability if taken >> i & 1 else 0.0 for i in range(len(w))]
    return inside
