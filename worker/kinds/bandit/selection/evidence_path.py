"""V_path: the value read off a whole path of smoothed estimates, each weighted by what it is worth.

Every amount of smoothing gives an estimate theta_k = V + kappa b_k + d_k + noise: b_k is the bias that the reward model
expects of it, kappa ~ N(1, 0.5^2) how far the model may be trusted, d a random walk along the path for the bias nobody
expects, and the noise has at least the variance that the policy ESS implies. V with a flat prior follows by generalised
least squares, averaged over the step of the random walk by marginal likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from worker.kinds.bandit.policies import Floats

STEPS = (0.001, 0.003, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6)
TRUST = 0.5  # prior standard deviation of kappa
LEAST_VARIANCE = 0.02
MOST_NOISE = 0.5
_JITTER = 1e-9


@dataclass(frozen=True)
class PathValue:
    """`value` and its standard deviation; `pull` (T,): how much of theta_k - b_k goes into it, steps held fixed."""

    value: float
    sd: float
    pull: Floats


def noise_widths(se: Floats, pess: Floats, variance: float) -> Floats:
    """c_k = max(se_k, min(sqrt(v / pess_k), 0.5)), v = max(var(r), 0.02), for rewards in [0, 1]."""
    implied = np.sqrt(max(variance, LEAST_VARIANCE) / np.maximum(pess, 1e-12))
    return np.maximum(se, np.minimum(implied, MOST_NOISE))


def correlation(weights: Floats) -> Floats:
    """R = 0.999 corr + 0.001 I (T, T) of normalised weights (T, n): smoothed estimates share their rounds."""
    gram = weights @ weights.T
    size = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    return 0.999 * gram / np.outer(size, size) + 0.001 * np.eye(len(gram))


def path_value(theta: Floats, se: Floats, bias: Floats, pess: Floats, shared: Floats, variance: float) -> PathValue:
    """V_path of estimates (T,) in ascending policy ESS, all of it positive; `shared` is their correlation (T, T).

    Rewards are in [0, 1] and `variance` is theirs. The result is not clipped to the range.
    """
    c = noise_widths(se, pess, variance)
    travelled = np.log(np.maximum(pess / pess[0], 1.0))
    walk = np.minimum.outer(travelled, travelled)
    fixed = shared * np.outer(c, c) + TRUST**2 * np.outer(bias, bias)
    y, ones = theta - bias, np.ones(len(theta))
    values, variances, scores, pulls = [], [], [], []
    for step in STEPS:
        covariance = fixed + step**2 * walk + _JITTER * np.eye(len(theta))
        factor = cho_factor(covariance, lower=True)
        solved = cho_solve(factor, ones)
        precision = float(solved.sum())
        pull = solved / precision
        rest = y - pull @ y
        values.append(float(pull @ y))
        variances.append(1.0 / precision)
        pulls.append(pull)
        log_determinant = 2.0 * np.log(np.diag(factor[0])).sum()
        scores.append(-0.5 * (log_determinant + np.log(precision) + rest @ cho_solve(factor, rest)))
    odds = np.exp(np.array(scores) - max(scores))
    odds /= odds.sum()
    value = float(odds @ values)
    spread = float(odds @ (np.array(variances) + np.square(values))) - value**2
    return PathValue(value, float(np.sqrt(max(spread, 0.0))), odds @ np.stack(pulls))
