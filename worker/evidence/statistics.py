"""Intervals: a paired bootstrap over test units, draws of training sets and learner seeds together.

Everything measured on one test set is resampled with the SAME units, so that differences and ratios are paired. Draws
of a training set are resampled as draws: with the same picks for every learner trained on that set, and independently
of other sets. Learner seeds are paired by their number, across sets and learners. Percentile intervals after Efron and
Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. With few draws or seeds their part of an interval is
optimistic (a bootstrap of S values understates their variance by the factor (S-1)/S); their numbers stand beside it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worker.evidence.measurements import Pooled, Ratio, Scores, columns_of
from worker.evidence.pooled import Evaluator, evaluator

LEVEL = 0.95
# Weights of this many resamples x units are held at once (32 MB), and this many columns are stacked beside them.
_WEIGHTS_AT_ONCE = 4_000_000
_COLUMNS_AT_ONCE = 64
# First word of the random streams: [seed, stream, ...].
_UNITS, _SEEDS, _DRAWS = 0, 1, 2


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, over `n` test units, `draws` draws and `seeds` learner seeds; NaN if unknown."""

    value: float
    low: float
    high: float
    n: int
    seeds: int = 1
    draws: int = 1

    @property
    def width(self) -> float:
        """Length of the interval."""
        return self.high - self.low


@dataclass(frozen=True)
class Resampled:
    """A quantity, and what it is under every resample (R,); NaN there where no interval can be had."""

    value: float
    values: np.ndarray
    n: int
    seeds: int = 1
    draws: int = 1

    def __sub__(self, other: Resampled) -> Resampled:
        """The paired difference; undefined (NaN) between infinite ones."""
        with np.errstate(invalid="ignore"):
            values = self.values - other.values
        return self._with(other, self.value - other.value, values)

    def __truediv__(self, other: Resampled) -> Resampled:
        """The paired ratio; undefined (NaN) over 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            values = self.values / other.values
        return self._with(other, self.value / other.value if other.value else np.nan, values)

    @property
    def estimate(self) -> Estimate:
        """The value with its interval."""
        low, high = interval(self.values)
        return Estimate(self.value, low, high, self.n, self.seeds, self.draws)

    def _with(self, other: Resampled, value: float, values: np.ndarray) -> Resampled:
        return Resampled(value, values, self.n, max(self.seeds, other.seeds), max(self.draws, other.draws))


def value_of(scores: Scores) -> float:
    """The metric itself: the mean over units, the ratio of sums or e to it, the pooled statistic, the bare number."""
    match scores:
        case Ratio():
            top, bottom = (column.sum(dtype=np.float64) for column in (scores.numerator, scores.denominator))
            ratio = float(top / bottom) if bottom else np.nan
            return float(np.exp(ratio)) if scores.exponential else ratio
        case Pooled():
            units = len(next(iter(scores.columns.values())))
            return float(evaluator(scores)(np.ones((units, 1)))[0]) if units else np.nan
        case np.ndarray():
            return float(scores.mean(dtype=np.float64)) if scores.size else np.nan
        case _:
            return float(scores)


def resample(scores: Sequence[Scores], *, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """Every metric under `resamples` draws of test units with replacement -> (resamples, len(scores)).

    The same draws of units serve all of them; bare numbers give NaN. Raises ValueError when they are not over the same
    units. O(resamples x units x scores), in blocks of bounded memory.
    """
    units = _common_units(scores)
    out = np.full((resamples, len(scores)), np.nan)
    if not units:
        return out
    sums, pooled = _plan(scores)
    totals = np.empty((resamples, len(sums)))
    for block, weights in _unit_weights(units, resamples, seed):
        for start in range(0, len(sums), _COLUMNS_AT_ONCE):
            part = slice(start, start + _COLUMNS_AT_ONCE)
            totals[block, part] = weights.T @ np.stack(sums[part], axis=1).astype(np.float64, copy=False)
        for at, evaluate in pooled:
            out[block, at] = evaluate(weights)
    column = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        for at, one in enumerate(scores):
            if isinstance(one, Ratio):
                ratio = totals[:, column] / totals[:, column + 1]
                out[:, at] = np.exp(ratio) if one.exponential else ratio
                column += 2
            elif isinstance(one, np.ndarray):
                out[:, at] = totals[:, column] / units
                column += 1
    return out


def _common_units(scores: Sequence[Scores]) -> int:
    shapes = {column.shape for one in scores for column in columns_of(one).values()}
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        raise ValueError("all scores of one test set are over the same test units")
    return next(iter(shapes))[0] if shapes else 0


def _plan(scores: Sequence[Scores]) -> tuple[list[np.ndarray], list[tuple[int, Evaluator]]]:
    """The columns of which only weighted sums are needed, in order; and the pooled metrics with their positions."""
    sums: list[np.ndarray] = []
    pooled: list[tuple[int, Evaluator]] = []
    for at, one in enumerate(scores):
        if isinstance(one, Pooled):
            pooled.append((at, evaluator(one)))
        else:
            sums += columns_of(one).values()
    return sums, pooled


def _unit_weights(units: int, resamples: int, seed: int) -> Iterator[tuple[slice, np.ndarray]]:
    """How often each unit was drawn, in blocks of resamples: (which resamples, counts (units, B))."""
    rng = np.random.default_rng([seed, _UNITS])
    at_once = max(1, _WEIGHTS_AT_ONCE // units)
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        drawn = rng.integers(0, units, (count, units)) + units * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)
        yield slice(start, start + count), np.ascontiguousarray(weights.T, dtype=np.float64)


def average(
    values: Sequence[float], resampled: np.ndarray, runs: Sequence[tuple[int, int]], *, name: str, n: int, seed: int = 0
) -> Resampled:
    """The mean over several trainings of a learner on one set, with their draws and seeds resampled.

    `values` (C,) and `resampled` (R, C): every training's metric. `runs`: (draw, seed) of each. `name`: of the set.
    """
    draws, seeds = sorted({draw for draw, _ in runs}), sorted({seed for _, seed in runs})
    of_draws = picks(draws, len(resampled), (seed, _DRAWS, zlib.crc32(name.encode())))
    of_seeds = picks(seeds, len(resampled), (seed, _SEEDS))
    weights = np.stack([of_draws[:, draws.index(a)] * of_seeds[:, seeds.index(b)] for a, b in runs], axis=1)
    # Where not every draw was trained with every seed, a resample may pick only trainings that are missing.
    weights[weights.sum(axis=1) == 0] = 1.0
    averaged = (resampled * weights).sum(axis=1) / weights.sum(axis=1)
    return Resampled(float(np.mean(values)), averaged, n, len(seeds), len(draws))


def picks(ids: Sequence[int], resamples: int, stream: Sequence[int]) -> np.ndarray:
    """How often each id is picked in every resample, (resamples, ids): as many picks as ids, with replacement.

    For every pick each id draws a number from a stream of its own, and the lowest wins. So two columns that share ids
    share their picks, whatever else they hold and in whatever order it came.
    """
    drawn = np.stack([np.random.default_rng([*stream, one]).random((len(ids), resamples)) for one in ids])
    return (drawn.argmin(axis=0)[..., None] == np.arange(len(ids))).sum(axis=0).astype(np.float64)


def interval(draws: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The central percentile interval of bootstrap draws; draws that are not finite make it NaN."""
    if len(draws) == 0 or not np.all(np.isfinite(draws)):
        return float("nan"), float("nan")
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)
