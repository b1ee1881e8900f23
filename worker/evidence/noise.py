"""Which configurations that tuning tried are as good as the best of their search, as far as validation units can tell.

What is compared is the paired difference to the best one on the same validation units: where its 95 % interval holds 0
the two cannot be told apart, and their order is no finding. The best is the highest of several, which flatters it a
little; so what is called as good is at least as good as that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from worker.evidence.measurements import Measurements, Scores, TrainedResult
from worker.evidence.statistics import LEVEL, Estimate, interval, resample, value_of


class Noise:
    """Every search of some measurements after one bootstrap over the validation units."""

    def __init__(self, measurements: Measurements) -> None:
        m = measurements
        self._higher = m.metric.higher_is_better
        runs = [result for result in m.results if len(result.tried) > 1]
        drawn = resample([one.validation for run in runs for one in run.tried], resamples=m.bootstrap, seed=m.seed)
        self._behind: dict[tuple[str, str, int, int], list[Estimate]] = {}
        start = 0
        for run in runs:
            part = drawn[:, start : start + len(run.tried)]
            start += len(run.tried)
            self._behind[_key(run)] = behind([one.validation for one in run.tried], part, higher=self._higher)

    def behind(self, result: TrainedResult) -> list[Estimate]:
        """How far each configuration of a search is from its best one, in the metric; 0 for the best itself."""
        return self._behind.get(_key(result), [])


def behind(tried: Sequence[Scores], drawn: np.ndarray, *, higher: bool, level: float = LEVEL) -> list[Estimate]:
    """Metric of each configuration minus that of the best, paired, with intervals of a level.

    `drawn` (R, K): the metrics under every resample.
    """
    values = np.array([value_of(one) for one in tried])
    sign = 1.0 if higher else -1.0
    best = int(np.argmax(np.where(np.isfinite(values), sign * values, -np.inf)))
    found: list[Estimate] = []
    for at, value in enumerate(values):
        low, high = (0.0, 0.0) if at == best else interval(drawn[:, at] - drawn[:, best], level)
        found.append(Estimate(float(value - values[best]), low, high, len(values)))
    return found


def as_good(difference: Estimate) -> bool:
    """Whether a configuration cannot be told from the best; False where no interval is known."""
    return math.isfinite(difference.width) and difference.low <= 0 <= difference.high


def _key(result: TrainedResult) -> tuple[str, str, int, int]:
    return result.learner, result.set, result.draw, result.seed
