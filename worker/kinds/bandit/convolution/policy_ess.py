"""Policy effective sample size: how many rounds of the target's own the log is worth, before any reward is seen.

With W_t = pi_t / mu_t, m1 = E sum_a mu W_t and m2 = E sum_a mu W_t^2, the policy ESS is n m1^2 / m2; without smoothing
n / E sum_a pi^2 / mu, for groups n / E sum_g pi(g)^2 / mu(g). It depends on the two policies alone, so choosing by it
adds no selection effect. The ESS of the weights that happened to be drawn must not decide anything: when large weights
are rare none was drawn, and it looks healthy just where the log says nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worker.kinds.bandit.convolution.smoothing import Convolution, logged
from worker.kinds.bandit.convolution.tree import TreePath
from worker.kinds.bandit.overlap import UNSUPPORTED, Overlap, Pairs
from worker.kinds.bandit.policies import BLOCK_BYTES, Floats, Policy, SparseTable, distinct_pairs

_EXACT_WORK = 2e8  # multiply-adds a level for which whole distributions are smoothed
_CONTEXTS = 200
_LISTED_CONTEXTS = 5_000
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
    overlap: Overlap | None = None,
) -> Floats:
    """Policy ESS of every (target level, logging level); by default of the coupled path, both smoothed alike: (T,).

    Exact sums over the distinct pairs of contexts where they are few, otherwise 200 sampled contexts with 32 actions
    each (`exact` forces one of the two). Without smoothing always exact over all contexts, since few hard ones decide
    (`overlap`: of the two policies, where the caller has it). Round weights count by Kish's n = (sum w)^2 / sum w^2:
    repeated contexts bring no new evidence about the policies. Zero where more than 1 % of the target's mass has no
    logging mass.
    """
    pairs = levels or [(level, level) for level in range(len(path.taus))]
    found, sampled = _of_levels(path, target, logging, pairs, weight, seed, exact)
    if (0, 0) in pairs and exact is None and (sampled or overlap is not None):
        if overlap is None:
            both = Pairs.of(target, logging)
            overlap = Overlap.of(both, both.share(weight))
        worth = 0.0 if overlap.lost > UNSUPPORTED else _kish(target, weight) * overlap.policy_ess_share
        found[[pair == (0, 0) for pair in pairs]] = worth
    return found


def _of_levels(
    path: Convolution,
    target: Policy,
    logging: Policy,
    pairs: Levels,
    weight: Floats | None,
    seed: int,
    exact: bool | None,
) -> tuple[Floats, bool]:
    """Policy ESS of every pair of levels (T,), and whether contexts were sampled for it."""
    rounds, counts = _contexts(target, logging, weight)
    n, every = _kish(target, weight), len(rounds)
    coupled = all(level == logging_level for level, logging_level in pairs)
    if exact is not False and coupled and isinstance(path, TreePath) and _listed(target) and _listed(logging):
        rounds, counts = _some(rounds, counts, _LISTED_CONTEXTS, seed)
        taken = target.take(rounds), logging.take(rounds)
        return _worth(n, *_groups_of_support(path, *taken, counts / counts.sum(), pairs)), len(rounds) < every
    few = len(rounds) * path.row_cost <= _EXACT_WORK
    if exact is None and not few:
        rounds, counts = _some(rounds, counts, _CONTEXTS, seed)
        few = len(rounds) * path.row_cost <= _EXACT_WORK
    share = counts / counts.sum()
    moments = _exact if (few if exact is None else exact) else _sampled
    worth = _worth(n, *moments(path, target.take(rounds), logging.take(rounds), share, pairs, seed))
    return worth, len(rounds) < every or moments is _sampled


def _kish(target: Policy, weight: Floats | None) -> float:
    return float(target.n_rounds) if weight is None else float(weight.sum()) ** 2 / float(weight @ weight)


def _worth(n: float, m1: Floats, m2: Floats, missing: Floats) -> Floats:
    return np.where(missing > UNSUPPORTED, 0.0, n * m1**2 / np.maximum(m2, 1e-300))


def _contexts(target: Policy, logging: Policy, weight: Floats | None) -> tuple[NDArray[np.int64], Floats]:
    """One round of every distinct pair of distributions, and the weight of all rounds that share it."""
    if weight is None or target.index is None or logging.index is None:
        rounds, counts = distinct_pairs(target, logging)
        return rounds, counts.astype(np.float64) if weight is None else weight
    key = target.index.astype(np.int64) * logging.table.n_rows + logging.index
    _, rounds, place = np.unique(key, return_index=True, return_inverse=True)
    return rounds, np.bincount(place, weight).astype(np.float64)


def _some(rounds: NDArray[np.int64], counts: Floats, most: int, seed: int) -> tuple[NDArray[np.int64], Floats]:
    if len(rounds) <= most:
        return rounds, counts
    drawn = np.random.default_rng(seed).choice(len(rounds), most, p=counts / counts.sum())
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
        if isinstance(path, TreePath) and all(level == logging_level for level, logging_level in pairs):
            levels = [level for level, _ in pairs]
            of_target, of_logging = path.group_masses(pi), path.group_masses(mu)
            for column, level in enumerate(levels):
                sums[:, column] += share[block] @ _of_groups(of_target[level], of_logging[level])
            continue
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


def _listed(policy: Policy) -> bool:
    """Whether the policy lists the few actions it takes."""
    return isinstance(policy.table, SparseTable) and policy.table.floor is None


def _groups_of_support(
    path: TreePath, target: Policy, logging: Policy, share: Floats, pairs: Levels
) -> tuple[Floats, Floats, Floats]:
    """The moments of groups from listed actions alone."""
    sums = np.zeros((3, len(pairs)))
    pi, mu = target.table.support(target.rows), logging.table.support(logging.rows)
    if pi is None or mu is None:
        raise ValueError("policies that list their actions have a support")
    for column, (level, _) in enumerate(pairs):
        of_target, of_logging = (_grouped(policy, path.labels[level]) for policy in (pi, mu))
        pattern = of_logging.copy()
        pattern.data = np.ones_like(pattern.data)
        inverse = of_logging.copy()
        inverse.data = 1.0 / inverse.data
        reached = of_target.multiply(pattern)
        squares = of_target.multiply(of_target).multiply(inverse)
        sums[0, column] = share @ reached.sum(axis=1)
        sums[1, column] = share @ squares.sum(axis=1)
        sums[2, column] = share @ of_target.sum(axis=1) - sums[0, column]
    return sums[0], sums[1], sums[2]


def _grouped(policy: sparse.csr_array, labels: NDArray[np.integer]) -> sparse.csr_array:
    """Mass of groups (u, G) from that of actions (u, A)."""
    shape = (len(policy.indptr) - 1, int(labels.max()) + 1)
    masses = sparse.csr_array((policy.data.astype(np.float64), labels[policy.indices], policy.indptr.copy()), shape)
    masses.sum_duplicates()
    masses.eliminate_zeros()
    return masses


def _of_groups(pi: Floats, mu: Floats) -> Floats:
    """sum_g pi(g) and sum_g pi(g)^2 / mu(g) over groups the log reaches, and the mass on others: (u, 3)."""
    seen = mu > 0
    squares = np.divide(pi * pi, mu, out=np.zeros_like(pi), where=seen).sum(axis=1)
    reached = np.where(seen, pi, 0.0).sum(axis=1)
    return np.stack([reached, squares, pi.sum(axis=1) - reached], axis=1)


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
