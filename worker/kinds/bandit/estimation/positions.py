"""The value at every position of a page: the weights that were built for all rounds, on the rounds of one position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from worker.kinds.bandit import intervals
from worker.kinds.bandit.convolution.policy_ess import policy_ess
from worker.kinds.bandit.convolution.weights import PathWeights
from worker.kinds.bandit.diagnostics import effective_size
from worker.kinds.bandit.estimation.prepare import LEAST_ROUNDS, Prepared
from worker.kinds.bandit.estimators import Terms
from worker.kinds.bandit.estimators.importance import snips
from worker.kinds.bandit.estimators.per_round import PerRound
from worker.kinds.bandit.intervals import Interval
from worker.kinds.bandit.policies import Policy
from worker.kinds.bandit.selection.default import Selected

MOST_POSITIONS = 50


@dataclass(frozen=True)
class AtPosition:
    """One position. `interval`: of the self-normalised value, None below 30 rounds; `worth`: the policy ESS of these
    rounds that floors it, the sample's where the logging policy is not known; `logged`: what was earned there."""

    position: int
    rounds: int
    logged: float
    interval: Interval | None = None
    worth: float | None = None


def at_positions(
    prepared: Prepared,
    target: Policy,
    plain: Terms,
    weights: PathWeights | None,
    selected: Selected | None,
    alpha: float,
    seed: int,
) -> tuple[AtPosition, ...]:
    """SNIPS at every position, at the smoothing of the headline's PC-SNIPS; empty without 2 to 50 positions."""
    log = prepared.log
    if log.position is None or not 2 <= len(np.unique(log.position)) <= MOST_POSITIONS:
        return ()
    return tuple(_each(prepared, target, plain, weights, selected, alpha, seed))


def _each(
    prepared: Prepared,
    target: Policy,
    plain: Terms,
    weights: PathWeights | None,
    selected: Selected | None,
    alpha: float,
    seed: int,
) -> Iterator[AtPosition]:
    log, path = prepared.log, prepared.path
    assert log.position is not None  # noqa: S101 - the caller has looked
    level = 0 if selected is None else next(iter(selected.levels.values()))
    weight = plain.weight if weights is None else weights.weight[level]
    for position in np.unique(log.position):
        rounds = np.flatnonzero(log.position == position)
        own = None if log.weight is None else log.weight[rounds]
        terms = Terms(log.reward[rounds], weight[rounds], rounds=own)
        logged = PerRound(np.zeros(len(rounds)), terms.reward, rounds=own).value
        if len(rounds) < LEAST_ROUNDS:
            yield AtPosition(int(position), len(rounds), logged)
            continue
        worth = effective_size(terms.weight, own)
        if weights is not None and path is not None and log.logging is not None:
            pair = (path.taus.index(weights.taus[level]), path.taus.index(weights.logging_taus[level]))
            ours = target.take(rounds), log.logging.take(rounds)
            worth = float(policy_ess(path, *ours, levels=[pair], weight=own, seed=seed)[0])
        span = intervals.floored(
            snips(terms),
            worth,
            alpha,
            reward_range=prepared.reward_range,
            reward_variance=float(np.var(terms.reward)),
            reward_mean=float(np.mean(terms.reward)),
            unit=None if prepared.unit is None else np.unique(prepared.unit[rounds], return_inverse=True)[1],
        )
        span = intervals.within(span, prepared.reward_range)
        yield AtPosition(int(position), len(rounds), logged, span, worth)
