"""Words of benchmarks whose scores are given as matrices."""

from __future__ import annotations

import numpy as np

from worker.kinds.scores.intervals import Interval, interval, resamples_of
from worker.kinds.scores.permutation import p_value
from worker.kinds.scores.words import Judged, Rule, judge


def judged(
    first: np.ndarray, second: np.ndarray, seed: int = 0, *, resamples: int = 300, permutations: int = 1000,
    every: bool = False,
) -> list[Judged]:  # fmt: skip
    """Words of benchmarks by scores (M, K) at two stages.

    Where Fisher's intervals are not clear of the level neither a bootstrap nor a permutation test can change the word,
    so they are left out unless `every` is asked for.
    """
    runs, count = first.shape
    weights = resamples_of(runs, resamples, np.random.default_rng(seed))
    found: dict[str, list[Interval]] = {"pearson": [], "spearman": []}
    p: list[float] = []
    for x, y in zip(first.T, second.T, strict=True):
        short = [interval(name, x, y, weights[:1]) for name in found]
        clear = min(one.fisher[0] for one in short) > Rule().level or max(one.fisher[1] for one in short) < Rule().level
        whole = clear or every
        for name, one in zip(found, short, strict=True):
            found[name].append(interval(name, x, y, weights) if whole else one)
        p.append(p_value(x, y, permutations, seed) if whole else 1.0)
    assert len(p) == count
    return judge(found["pearson"], found["spearman"], p, Rule())
