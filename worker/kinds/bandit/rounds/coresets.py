"""Rounds that stand for a whole log: which to keep, and how many rounds each kept one stands for.

Every pick returns rounds (m,) in ascending order and weights omega (m,) that sum to n. What makes a pick an unbiased
stand-in is that omega is the inverse of the chance of being kept; see each function.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import Policy

Rounds = NDArray[np.int64]
Floats = NDArray[np.float64]
Pick = tuple[Rounds, Floats]
UNIFORM_SHARE = 0.2
RANDOM = "random rounds"  # what reports call the cheapest pick


def uniform_rounds(n: int, m: int, rng: np.random.Generator) -> Pick:
    """m of n rounds, each as likely as any; omega = n / m."""
    return np.sort(rng.choice(n, size=m, replace=False)), np.full(m, n / m)


def top_reward_rounds(reward: Floats, m: int, rng: np.random.Generator) -> Pick:
    """The m rounds of highest reward, ties at random; omega = n / m. Biased on purpose: what people do by hand."""
    order = np.lexsort((rng.random(len(reward)), -reward))[:m]
    return np.sort(order), np.full(m, len(reward) / m)


def stratified_rounds(action: NDArray[np.int32], m: int, rng: np.random.Generator) -> Pick:
    """Rounds drawn within each action in proportion to how often it was taken; omega = n_a / m_a.

    Every logged action keeps a round while m allows: then rare actions stand for themselves. Largest remainders
    share out the rest. With fewer rounds than actions the most frequent actions are kept.
    """
    actions, counts = np.unique(action, return_counts=True)
    kept = _shares(counts, m)
    order = np.lexsort((rng.random(len(action)), action))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    chosen = np.concatenate([order[s : s + k] for s, k in zip(starts, kept, strict=True)])
    per_action = np.divide(counts, kept, out=np.zeros(len(actions)), where=kept > 0)
    omega = per_action[np.searchsorted(actions, action[chosen])]
    back = np.argsort(chosen)
    return chosen[back], omega[back] * len(action) / omega.sum()


def importance_rounds(log: BanditLog, targets: Iterable[Policy], m: int, rng: np.random.Generator) -> Pick:
    """m draws with replacement, chance in proportion to w |r| averaged over the targets; omega = draws / (m chance).

    The part of an IPS sum that a round carries decides how likely it is kept, which is the draw of least variance for
    that sum. A fifth of the chance is uniform, so that omega stays below 5 n / m and other targets are served too.
    Rounds that carry nothing take up what is missing of the sum n; only where there are none is everything scaled,
    which turns the unbiased sum into a ratio.
    """
    carried = np.zeros(log.n)
    for target in targets:
        part = target.at(log.action) / log.propensity * np.abs(log.reward)
        carried += part / part.sum() if part.sum() > 0 else 0.0
    even = np.full(log.n, 1.0 / log.n)
    chance = even if carried.sum() == 0 else UNIFORM_SHARE * even + (1 - UNIFORM_SHARE) * carried / carried.sum()
    draws = np.bincount(rng.choice(log.n, size=m, p=chance / chance.sum()), minlength=log.n)
    rounds = np.flatnonzero(draws)
    omega = draws[rounds] / (m * chance[rounds])
    idle = carried[rounds] == 0
    missing = log.n - omega[~idle].sum()
    if idle.any() and missing > 0:
        omega[idle] *= missing / omega[idle].sum()
    return rounds, omega * log.n / omega.sum()


def _shares(counts: NDArray[np.int64], m: int) -> NDArray[np.int64]:
    """How many of m rounds each stratum keeps: one each while they last, the rest by largest remainder."""
    if m < len(counts):
        kept = np.zeros(len(counts), np.int64)
        kept[np.argsort(-counts, kind="stable")[:m]] = 1
        return kept
    kept = np.ones(len(counts), np.int64)
    while (left := m - int(kept.sum())) > 0:
        room = counts - kept
        wanted = left * room / room.sum()
        whole = np.minimum(np.floor(wanted).astype(np.int64), room)
        if not whole.any():
            whole[np.argsort(-(wanted - np.floor(wanted)), kind="stable")[:left]] = 1
            whole = np.minimum(whole, room)
        kept += whole
    return kept
