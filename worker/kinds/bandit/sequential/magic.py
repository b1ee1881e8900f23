"""MAGIC: a blend of importance sampling and a model, as the log's size allows (Thomas and Brunskill 2016, section 7).

The j-step return follows the log with weighted doubly robust terms for j steps and a model from there on: j = 0 is the
model alone (FQE), j = L is WDR. The blend over j has the least estimated squared error, variance from the sample and
bias as the distance from an interval around WDR. The paper takes that interval from a bootstrap; ours is the normal one
of the delta method at 50 %, which needs no draws.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, stats

from worker.kinds.bandit.policies import Floats
from worker.kinds.bandit.stepwise.importance import Estimate, before_each

MOST_RETURNS = 25


def magic(weight: Floats, reward: Floats, logged: Floats, expected: Floats) -> tuple[Estimate, dict[int, float]]:
    """The blend, and the share of every j-step return in it; arrays (m, L) as for the doubly robust estimators."""
    pieces, influence = returns(weight, reward, logged, expected)
    chosen = np.unique(np.linspace(0, weight.shape[1], MOST_RETURNS).round().astype(int))
    pieces, influence = pieces[:, chosen], influence[:, chosen]
    share = blend(pieces, influence[:, -1])
    value = float(pieces.sum(axis=0) @ share)
    return Estimate(value, influence @ share), {
        int(j): float(s) for j, s in zip(chosen, share, strict=True) if s > 1e-9
    }


def returns(weight: Floats, reward: Floats, logged: Floats, expected: Floats) -> tuple[Floats, Floats]:
    """What every trajectory adds to the j-step returns (m, L + 1), which are the sums; and influences of these."""
    m, steps = weight.shape
    seen, seen_influence = _normalised(weight, reward - logged)
    model, model_influence = _normalised(before_each(weight), expected)
    found = []
    for step, following in ((seen, model), (seen_influence, model_influence)):
        table = np.zeros((m, steps + 1))
        np.cumsum(step + following, axis=1, out=table[:, 1:])
        table[:, :-1] += following
        found.append(table)
    return found[0], found[1]


def blend(pieces: Floats, last_influence: Floats) -> Floats:
    """Shares (k,) of least estimated squared error, at least 0 and of sum 1; the last return is WDR."""
    m = len(pieces)
    values = pieces.sum(axis=0)
    spread = np.atleast_2d(np.cov(pieces, rowvar=False)) * m
    half = float(stats.norm.ppf(0.75)) * float(last_influence.std(ddof=1)) / m**0.5
    bias = values - np.clip(values, values[-1] - half, values[-1] + half)
    matrix = spread + np.outer(bias, bias)
    scale = float(np.trace(matrix))
    if scale <= 0:
        return np.append(np.zeros(len(values) - 1), 1.0)
    # On x >= 0, |root x|^2 + (1 - sum x)^2 is least at a multiple of the shares that are least on the simplex.
    levels, axes = np.linalg.eigh(matrix / scale)
    root = np.sqrt(np.maximum(levels, 0.0))[:, None] * axes.T
    found, _ = optimize.nnls(np.concatenate([root, np.ones((1, len(values)))]), np.append(np.zeros(len(values)), 1.0))
    return found / found.sum()


def _normalised(weight: Floats, values: Floats) -> tuple[Floats, Floats]:
    """w values / sum w (m, L), whose sums are the self-normalised means of the steps, and the influences of these."""
    total = weight.sum(axis=0)
    safe = np.where(total > 0, total, 1.0)
    pieces = weight * values / safe
    ratio = pieces.sum(axis=0)
    return pieces, ratio + (pieces - ratio * weight / safe) * len(weight)
