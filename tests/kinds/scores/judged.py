"""Words of benchmarks whose scores are given as matrices."""

from __future__ import annotations

import numpy as np

from worker.kinds.scores.intervals import Interval, interval, resamples_of
from worker.kinds.scores.permutation import p_value
from worker.kinds.scores.words import Judged, Rule, judge


def judged(
    first: np.ndarray, second: np.ndarray, seed: int = 0, *, resamples: int = 300, permutations: int = 1000
) -> list[Judged]:
    """Words of benchmarks by scores (M, K) at two stages."""
    runs, count = first.shape
    weights = resamples_of(runs, resamples, np.random.default_rng(seed))
    found: dict[str, list[Interval]] = {
        name: [interval(name, first[:, k], second[:, k], weights) for k in range(count)]
        for name in ("pearson", "spearman")
    }
    p = [p_value(first[:, k], second[:, k], permutations, seed) for k in range(count)]
    return judge(found["pearson"], found["spearman"], p, Rule())
