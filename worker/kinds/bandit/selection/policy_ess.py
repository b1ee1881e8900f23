"""Policy effective sample size: how many rounds of the target's own the log is worth, before any reward is seen.

With W_t = pi_t / mu_t, m1 = E sum_a mu W_t and m2 = E sum_a mu W_t^2, the policy ESS is n m1^2 / m2; without smoothing
n / E sum_a pi^2 / mu, for groups n / E sum_g pi(g)^2 / mu(g). It depends on the two policies alone, so choosing by it
adds no selection effect. The ESS of the weights that happened to be drawn must not decide anything: when large weights
are rare none was drawn, and it looks healthy just where the log says nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.kinds.bandit.convolution.smoothing import Convolution, logged
from worker.kinds.bandit.policies import BLOCK_BYTES, Floats, Policy, distinct_pairs

UNSUPPORTED = 0.01  # target mass without logging mass above which a candidate is worth nothing
_EXACT_WORK = 2e8  # multiply-adds a level for which whole distributions are smoothed
_CONTEXTS = 200
_DRAWS = 32

Levels = list[tuple[int, int]]


def policy_ess(
    path: Convolution,
    target: Policy,
    logging: Policy,
    *,
    levels: Levels | None = None,
    weight: Floats | None = None,
    seed: int = 0,
    exact: bool | None = None,
) -> Floats:
    """Policy ESS of every (target level, logging level); by default of the coupled path, both smoothed alike: (T,).

    Exact sums over the distinct pairs of contexts where they are few, otherwise 200 sampled contexts with 32 actions
    each (`exact` forces one of the two). Round weights count by Kish's n = (sum w)^2 / sum w^2: repeated contexts
    bring no new evidence about the policies. Zero where more than 1 % of the target's mass has no logging mass.
    """
    pairs = levels or [(level, level) for level in range(len(path.taus))]
    rounds, counts = _contexts(target, logging, weight)
    n = float(target.n_rounds) if weight is None else float(weight.sum()) ** 2 / float(weight @ weight)
    few = len(rounds) * path.row_cost <= _EXACT_WORK
    if exact is None and not few and len(rounds) > _CONTEXTS:
        rounds, counts = _some(rounds, counts, seed)
        few = len(rounds) * path.row_cost <= _EXACT_WORK
    share = counts / counts.sum()
    moments = _exact if (few if exact is None else exact) else _sampled
    m1, m2, missing = moments(path, target.take(rounds), logging.take(rounds), share, pairs, seed)
    return np.where(missing > UNSUPPORTED, 0.0, n * m1**2 / np.maximum(m2, 1e-300))


def _contexts(target: Policy, logging: Policy, weight: Floats | None) -> tuple[NDArray[np.int64], Floats]:
    """One round of every distinct pair of distributions, and the weight of all rounds that share it."""
    if weight is None or target.index is None or logging.index is None:
        rounds, counts = distinct_pairs(target, logging)
        return rounds, counts.astype(np.float64) if weight is None else weight
    key = target.index.astype(np.int64) * logging.table.n_rows + logging.index
    _, rounds, place = np.unique(key, return_index=True, return_inverse=True)
    return rounds, np.bincount(place, weight).astype(np.float64)


def _some(rounds: NDArray[np.int64], counts: Floats, seed: int) -> tuple[NDArray[np.int64], Floats]:
    drawn = np.random.default_rng(seed).choice(len(rounds), _CONTEXTS, p=counts / counts.sum())
    kept, times = np.unique(drawn, return_counts=True)
    return rounds[kept], times.astype(np.float64)


def _exact(
    path: Convolution, target: Policy, logging: Policy, share: Floats, pairs: Levels, seed: int
) -> tuple[Floats, Floats, Floats]:
    """m1, m2 and the target mass without logging mass, per pair of levels, by sums over all actions."""
    sums = np.zeros((3, len(pairs)))
    step = max(1, BLOCK_BYTES // (16 * path.n_actions))
    for start in range(0, len(share), step):
        block = np.arange(start, min(start + step, len(share)))
        pi, mu = target.dense(block), logging.dense(block)
        smooth: dict[int, Floats] = {}
        for column, (level, logging_level) in enumerate(pairs):
            if level == logging_level:
                both = path.tables(np.concatenate([pi, mu]), level)
                pi_t, mu_t = both[: len(block)], both[len(block) :]
            else:
                pi_t = smooth[level] if level in smooth else smooth.setdefault(level, path.tables(pi, level))
                mu_t = path.tables(mu, logging_level)
            ratio = np.divide(pi_t, mu_t, out=np.zeros_like(pi_t), where=mu_t > 0)
            first = mu * ratio
            missing = np.where(mu_t > 0, 0.0, pi_t)
            sums[:, column] += share[block] @ np.stack([p.sum(1) for p in (first, first * ratio, missing)], axis=1)
    return sums[0], sums[1], sums[2]


def _sampled(
    path: Convolution, target: Policy, logging: Policy, share: Floats, pairs: Levels, seed: int
) -> tuple[Floats, Floats, Floats]:
    """The same from 32 actions a context drawn from pi_t, by mu W^2 = pi_t (mu/mu_t) W.

    Under `mean` the smoothed policy is no distribution to draw from; its mass-keeping twin stands in.
    """
    keeping = path.keeping_mass()
    rng = np.random.default_rng(seed)
    sources = _draws(target, rng)
    context = np.repeat(np.arange(len(share)), _DRAWS)
    many_target, many_logging = target.take(context), logging.take(context)
    each = share[context] / _DRAWS
    sums = np.zeros((3, len(pairs)))
    for column, (level, logging_level) in enumerate(pairs):
        actions = keeping.sample(level, sources, rng)
        pi_t = logged(keeping, many_target, actions)[level]
        smoothed = logged(keeping, many_logging, actions)
        mu, mu_t = smoothed[0], smoothed[logging_level]
        seen = mu_t > 0
        kept = np.divide(mu, mu_t, out=np.zeros_like(mu), where=seen)
        ratio = np.divide(pi_t, mu_t, out=np.zeros_like(mu), where=seen)
        sums[:, column] = each @ np.stack([kept, kept * ratio, ~seen], axis=1)
    return sums[0], sums[1], sums[2]


def _draws(policy: Policy, rng: np.random.Generator) -> NDArray[np.int64]:
    """32 actions of every round (n * 32,), drawn systematically: equally spaced places of the cumulative mass."""
    drawn = np.empty((policy.n_rounds, _DRAWS), np.int64)
    for block, values in policy.blocks():
        below = np.cumsum(values, axis=1)
        places = (np.arange(_DRAWS) + rng.random((len(block), 1))) / _DRAWS * below[:, -1:]
        for row, (edges, wanted) in enumerate(zip(below, places, strict=True)):
            drawn[block[row]] = np.searchsorted(edges, wanted, side="right")
    return np.minimum(drawn, policy.n_actions - 1).ravel()
