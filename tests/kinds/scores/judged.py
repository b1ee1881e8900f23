"""Words of benchmarks whose scores are given as matrices."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from worker.kinds.scores.intervals import NOTHING, Interval, fisher, interval, resamples_of
from worker.kinds.scores.permutation import p_value
from worker.kinds.scores.words import Judged, Rule, judge

LEVEL = Rule().level


def judged(
    first: np.ndarray, second: np.ndarray, seed: int = 0, *, resamples: int = 300, permutations: int = 1000,
    every: bool = False,
) -> list[Judged]:  # fmt: skip
    """Words of benchmarks by scores (M, K) at two stages.

    Where Fisher's intervals are not clear of the level neither a bootstrap nor a permutation test can change the word,
    so they are left out unless `every` is asked for.
    """
    runs = len(first)
    weights = resamples_of(runs, resamples, np.random.default_rng(seed))
    values = {
        "pearson": _columns(first, second),
        "spearman": _columns(rankdata(first, axis=0), rankdata(second, axis=0)),
    }
    found: dict[str, list[Interval]] = {"pearson": [], "spearman": []}
    p: list[float] = []
    for k, (x, y) in enumerate(zip(first.T, second.T, strict=True)):
        ends = {name: fisher(name, of[k], runs) for name, of in values.items()}
        clear = min(low for low, _ in ends.values()) > LEVEL or max(high for _, high in ends.values()) < LEVEL
        whole = clear or every or not np.isfinite(values["pearson"][k])
        for name, of in values.items():
            short = Interval(name, of[k], runs, NOTHING, NOTHING, ends[name], 0, 0, np.empty(0))
            found[name].append(interval(name, x, y, weights) if whole else short)
        p.append(p_value(x, y, permutations, seed) if whole else 1.0)
    return judge(found["pearson"], found["spearman"], p, Rule())


def _columns(first: np.ndarray, second: np.ndarray) -> list[float]:
    """Pearson's r of every column with its own at the other stage; NaN of constant ones."""
    a, b = first - first.mean(axis=0), second - second.mean(axis=0)
    with np.errstate(invalid="ignore"):
        r = (a * b).sum(axis=0) / np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    return np.where((np.ptp(first, axis=0) > 0) & (np.ptp(second, axis=0) > 0), r, np.nan).tolist()
