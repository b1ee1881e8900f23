"""Intervals: a paired bootstrap over test units and learner seeds together.

Every column of a report is resampled with the SAME test units (and, where two sets have the same seeds, the same
seeds), so differences and ratios between two columns are paired. Percentile intervals after Efron and Tibshirani,
"An Introduction to the Bootstrap" (1993), chapter 13. With few seeds the seed part of an interval is optimistic (a
bootstrap of S values understates their variance by the factor (S-1)/S); the number of seeds stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
# Weights of this many resamples x units are held at once: 64 MB of float32.
_WEIGHTS_AT_ONCE = 16_000_000


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, over `n` test units and `seeds` learner seeds. NaN where undefined."""

    value: float
    low: float
    high: float
    n: int
    seeds: int

    @property
    def width(self) -> float:
        """Length of the interval."""
        return self.high - self.low

    def overlaps(self, other: Estimate) -> bool:
        """Whether the two intervals share a point."""
        return self.low <= other.high and other.low <= self.high


class Bootstrap:
    """Resampled means of many columns that share their test units.

    `add(key, values)` takes (seeds, units) or (units,) and `run()` resamples all of them in one pass; afterwards
    `mean`, `ratio` and `difference` answer with intervals. Deterministic in `seed`.
    """

    def __init__(self, *, resamples: int = 1000, seed: int = 0) -> None:
        self.resamples = resamples
        self.seed = seed
        self._columns: dict[object, np.ndarray] = {}
        self._draws: dict[object, np.ndarray] = {}

    def add(self, key: object, values: np.ndarray | Sequence[np.ndarray]) -> None:
        """Register a column: metric values (seeds, units), or (units,) for one seed."""
        column = np.atleast_2d(np.asarray(values, dtype=np.float64))
        if self._columns and column.shape[1] != next(iter(self._columns.values())).shape[1]:
            raise ValueError("all columns are over the same test units")
        self._columns[key] = column

    def run(self) -> Bootstrap:
        """Draw the resamples of every registered column."""
        if not self._columns:
            return self
        stacked = np.concatenate(list(self._columns.values()))
        unit_means = resampled_means(stacked, self.resamples, self.seed)
        rng = np.random.default_rng([self.seed, 1])
        picks: dict[int, np.ndarray] = {}
        start = 0
        for key, column in self._columns.items():
            seeds = len(column)
            block = unit_means[:, start : start + seeds]
            start += seeds
            if seeds not in picks:
                picks[seeds] = rng.integers(0, seeds, (self.resamples, seeds))
            self._draws[key] = np.take_along_axis(block, picks[seeds], axis=1).mean(axis=1)
        return self

    def __contains__(self, key: object) -> bool:
        return key in self._columns

    def mean(self, key: object) -> Estimate:
        """The mean of one column."""
        return self._estimate(self._value(key), self._draws[key], key)

    def ratio(self, key: object, base: object) -> Estimate:
        """Mean of `key` / mean of `base`, paired; undefined (NaN) when the base is 0."""
        if self._value(base) == 0:
            return Estimate(np.nan, np.nan, np.nan, self._columns[key].shape[1], len(self._columns[key]))
        with np.errstate(divide="ignore", invalid="ignore"):
            draws = self._draws[key] / self._draws[base]
        return self._estimate(self._value(key) / self._value(base), draws, key)

    def difference(self, key: object, base: object) -> Estimate:
        """Mean of `key` minus mean of `base`, paired."""
        return self._estimate(self._value(key) - self._value(base), self._draws[key] - self._draws[base], key)

    def gap(self, key: object, other: object, base: object, *, inverse: bool = False) -> Estimate:
        """Ratio of `key` minus ratio of `other`, both to `base` (base over them if `inverse`), paired."""
        pairs = [(base, key), (base, other)] if inverse else [(key, base), (other, base)]
        values = [self.ratio(top, bottom).value for top, bottom in pairs]
        with np.errstate(divide="ignore", invalid="ignore"):
            draws = [self._draws[top] / self._draws[bottom] for top, bottom in pairs]
        return self._estimate(values[0] - values[1], draws[0] - draws[1], key)

    def _value(self, key: object) -> float:
        return float(self._columns[key].mean())

    def _estimate(self, value: float, draws: np.ndarray, key: object) -> Estimate:
        seeds, units = self._columns[key].shape
        low, high = interval(draws)
        return Estimate(value, low, high, units, seeds)


def resampled_means(columns: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means of `columns` (C, units) under `resamples` draws of units with replacement -> (resamples, C).

    The same draw serves all columns. O(resamples x units x C) in one matrix product per block of resamples.
    """
    units = columns.shape[1]
    if units == 0:
        return np.full((resamples, len(columns)), np.nan)
    rng = np.random.default_rng([seed, 0])
    # Centred columns keep float32 weights exact enough: what is summed is small and the mean is added back.
    centre = columns.mean(axis=1, keepdims=True)
    table = np.ascontiguousarray((columns - centre).T, dtype=np.float32)
    means = np.empty((resamples, len(columns)))
    block = max(1, min(resamples, _WEIGHTS_AT_ONCE // units))
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        weights = np.empty((count, units), dtype=np.float32)
        for row in range(count):
            weights[row] = np.bincount(rng.integers(0, units, units), minlength=units)
        means[start : start + count] = weights @ table
    return means / units + centre.T


def interval(draws: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The central percentile interval of bootstrap draws; draws that are not finite make it NaN."""
    if len(draws) == 0 or not np.all(np.isfinite(draws)):
        return float("nan"), float("nan")
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)
