"""Learning a policy on each set of rounds to compare: all training rounds, the summary, random rounds of several sizes.

Every policy is a part of judging with its arrays as resume point, so that a killed judge learns none of them again.
Those that do not depend on the summary are remembered for later jobs on the same version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import TimeOver
from worker.kinds.bandit import intervals
from worker.kinds.bandit.dataset import TEST, TRAIN, VALIDATION, BanditLog, split_rounds
from worker.kinds.bandit.estimation.prepare import units
from worker.kinds.bandit.estimators import PerRound, Terms
from worker.kinds.bandit.estimators.doubly_robust import dr, sndr
from worker.kinds.bandit.estimators.importance import snips
from worker.kinds.bandit.learning.learn import learn
from worker.kinds.bandit.learning.params import PolicyGradientParams
from worker.kinds.bandit.learning.softmax_policy import SoftmaxPolicy
from worker.kinds.bandit.reward_models import ridge
from worker.kinds.bandit.reward_models.crossfit import crossfit
from worker.kinds.bandit.rounds import coresets
from worker.kinds.bandit.rounds.comparison import FULL, SUMMARY, PolicyComparison
from worker.kinds.bandit.rounds.coresets import RANDOM

FOLDS = 3
VALIDATION_SHARE = 0.15
SIZES = (0.25, 1.0, 4.0)  # random rounds, as multiples of the summary's number
DEFAULTS = PolicyGradientParams()
VERSION = 1  # raised when the same rounds and seed would give another policy


def compare_policies(
    data: BanditLog, kept: BanditLog, ctx: Context, *, estimator: str, alpha: float, epsilon: float
) -> PolicyComparison:
    """Learn on all training rounds, on the kept ones, and on random rounds; judge all on the held-out ones.

    `estimator`: snips, dr or sndr. `alpha`: one minus the level of intervals. `epsilon`: share of the value of the full
    log's policy within which another counts as equal. Raises `TimeOver` when time ends before the policies of all
    rounds, of the kept ones and of as many random ones are learnt; later random sizes are left out of the curve.
    """
    rounds = split_rounds(data, ctx.seed)
    train, held = data.take(rounds.train), data.take(rounds.test)
    m = min(kept.n, train.n)
    rng = np.random.default_rng([ctx.seed, 2])
    sizes = sorted({min(train.n, max(64, round(kept.n * share))) for share in SIZES} | {m})
    random = {f"{RANDOM} {size}": _weighted(train, coresets.uniform_rounds(train.n, size, rng)) for size in sizes}
    equal = f"{RANDOM} {m}"
    sets = {FULL: train, SUMMARY: kept, equal: random[equal], **random}
    learnt, jobs = _learn_each(sets, needed=3, ctx=ctx)
    complete = len(learnt) == len(sets)
    _warn_of(learnt, ctx)
    found = _values(held, learnt, estimator, ctx)
    curve = ((size, found.get(f"{RANDOM} {size}")) for size in sizes)
    unit = units(held)
    return PolicyComparison(
        n=held.n,
        values={FULL: found[FULL], SUMMARY: found[SUMMARY], RANDOM: found[equal]},
        logging=PerRound(np.zeros(held.n), held.reward, rounds=held.weight),
        rounds={FULL: train.n, SUMMARY: kept.n, RANDOM: m},
        margin=epsilon * abs(found[FULL].value),
        alpha=alpha,
        unit=unit,
        curve=tuple((size, intervals.normal(value, alpha, unit)) for size, value in curve if value is not None),
        estimator=estimator,
        jobs=jobs,
        unfinished="" if complete else "policies on random rounds of other sizes were not learnt.",
    )


def _learn_each(
    sets: dict[str, BanditLog], *, needed: int, ctx: Context
) -> tuple[dict[str, SoftmaxPolicy], dict[str, str]]:
    """A policy for each set, in order, and the earlier job it comes from, where one was recalled.

    When time ends after the first `needed`, those that there are.
    """
    learnt: dict[str, SoftmaxPolicy] = {}
    jobs: dict[str, str] = {}
    try:
        for step, (name, log) in enumerate(sets.items()):
            with ctx.part(name, step, len(sets) + 1, label=f"learn on {name}", seed=ctx.seed) as part:
                key = _key(name, sets[SUMMARY].n, ctx)
                if key and (known := ctx.recall(key)) is not None:
                    learnt[name] = _policy(known.arrays, known.state)
                    jobs[name] = known.job
                    continue
                learnt[name] = _learn(log, part)
                if key:
                    ctx.remember(key, learnt[name].weights, _state(learnt[name]))
    except TimeOver:
        if len(learnt) < needed:
            raise
    return learnt, {name: job for name, job in jobs.items() if job}


def _key(name: str, m: int, ctx: Context) -> str:
    """What a policy is remembered under; "" for that of the summary, and where the version is not known.

    Which random rounds are drawn depends on the number of kept ones, m.
    """
    if name == SUMMARY or not ctx.content:
        return ""
    rounds = name if name == FULL else f"{name} beside {m}"
    return f"bandit/policy/{VERSION}/{ctx.content}/{ctx.seed}/{rounds}"


def _learn(log: BanditLog, ctx: Context) -> SoftmaxPolicy:
    """Learn with the defaults on these rounds alone: a share of them chooses, as for someone who has no others."""
    if (point := ctx.restore()) is not None and point.done:
        return _policy(point.arrays, point.state)
    split = np.full(log.n, TRAIN, np.int8)
    split[np.random.default_rng([ctx.seed, 3]).random(log.n) < VALIDATION_SHARE] = VALIDATION
    # A split that lacks a part would have it drawn from the training rounds; no test part is needed, so one round does.
    split[-1] = TEST
    learnt = learn(replace(log, split=split), DEFAULTS, ctx)
    if ctx.out_of_time():
        raise TimeOver  # a training that ended early must not be compared with one that did not
    ctx.finish(learnt.weights, _state(learnt))
    return learnt


def _state(learnt: SoftmaxPolicy) -> dict[str, Any]:
    """What a policy is beside its weights, JSON."""
    return {
        "relu": list(learnt.relu),
        "candidates": learnt.candidates,
        "restrict": learnt.restrict,
        "warnings": list(learnt.warnings),
    }


def _policy(weights: dict[str, np.ndarray], state: Mapping[str, Any]) -> SoftmaxPolicy:
    return SoftmaxPolicy(
        tuple(state["relu"]), weights, state["candidates"], state["restrict"], warnings=tuple(state["warnings"])
    )


def _warn_of(learnt: dict[str, SoftmaxPolicy], ctx: Context) -> None:
    """Pass on what learning warned of, for the two policies that the verdict compares."""
    for text in dict.fromkeys([*learnt[FULL].warnings, *learnt[SUMMARY].warnings]):
        named = [name for name in (FULL, SUMMARY) if text in learnt[name].warnings]
        ctx.warn(f"Learning on {' and on '.join(named)}: {text}")


def _weighted(train: BanditLog, pick: coresets.Pick) -> BanditLog:
    rounds, omega = pick
    kept = train.take(rounds)
    return replace(kept, weight=omega * kept.round_weight)


def _values(held: BanditLog, learnt: dict[str, SoftmaxPolicy], estimator: str, ctx: Context) -> dict[str, PerRound]:
    policies = {name: policy.policy_on(held) for name, policy in learnt.items()}
    weights = {name: policy.at(held.action) / held.propensity for name, policy in policies.items()}
    if estimator == "snips":
        return {name: snips(Terms(held.reward, weight, rounds=held.weight)) for name, weight in weights.items()}
    with ctx.part("reward model", len(learnt), len(learnt) + 1, seed=ctx.seed) as part:
        reward = crossfit(held, ridge.fit, policies, FOLDS, ctx.seed, part)
    form = dr if estimator == "dr" else sndr
    return {
        name: form(Terms(held.reward, weight, reward.q_logged, reward.dm[name], held.weight))
        for name, weight in weights.items()
    }
