"""How products are judged: a learnt policy, or rounds that stand for a log, on rounds that they were not made of.

**A learnt policy** is estimated on the held-out rounds beside the policies anyone could have had without learning: the
logging policy, the uniform policy, and the single action that did best on the training rounds.

**Rounds** answer two questions, each with cheap picks of equal size beside them. Estimates: how far is every target's
SNIPS value on the kept rounds from its value on all training rounds? Learning: what does a policy learnt on the kept
rounds earn on held-out rounds, against one learnt on all of them? Both policies are judged by the same estimator on
the same rounds, so their difference is paired, and "as good" means equivalence within a margin (two one-sided tests).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.context import Context
from worker.contract.errors import JobError, TimeOver
from worker.evidence.findings import Findings
from worker.kinds.bandit.convolution.tree import tree
from worker.kinds.bandit.dataset import BanditLog, split_rounds, training_part
from worker.kinds.bandit.estimation.estimate import TargetEstimate, estimate_target
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimation.prepare import Prepared, units
from worker.kinds.bandit.gain import checks
from worker.kinds.bandit.gain.control import control_of
from worker.kinds.bandit.learning import evidence as policy_evidence
from worker.kinds.bandit.learning.evidence import CONSTANT, LEARNT, UNIFORM
from worker.kinds.bandit.learning.softmax_policy import SoftmaxPolicy
from worker.kinds.bandit.policies import Policy, epsilon_greedy, uniform
from worker.kinds.bandit.reward_models import per_action, ridge
from worker.kinds.bandit.reward_models.choice import Choice
from worker.kinds.bandit.reward_models.crossfit import Fit, crossfit
from worker.kinds.bandit.rounds import evidence as rounds_evidence
from worker.kinds.bandit.rounds.estimates import estimates_kept
from worker.kinds.bandit.rounds.learning import compare_policies

FOLDS = 3


class EvaluateParams(BaseModel):
    """The `evaluate` field of a job that learns a policy or picks rounds."""

    model_config = ConfigDict(extra="forbid")

    estimator: Literal["snips", "dr", "sndr"] = Field("snips", description="Estimator on the held-out rounds.")
    alpha: float = Field(0.05, ge=0.001, le=0.5, description="One minus the level of the intervals.")
    epsilon: float = Field(
        0.05, gt=0, le=0.5, description="Share of the full log's policy value within which another counts as equal."
    )
    seeds: int = Field(20, ge=1, le=200, description="Draws of every cheap baseline of chosen rounds.")
    learn: bool = Field(True, description="Also learn a policy on chosen rounds and on all, and compare the two.")


def judge_policy(log: BanditLog, learnt: SoftmaxPolicy, params: EvaluateParams, ctx: Context) -> Findings:
    """Estimate the learnt policy and the anchors on the test rounds, all by the same estimator.

    The split is that of the policy's own seed. Raises `TimeOver` when time ends before the policy is estimated.
    """
    rounds = split_rounds(log, int(learnt.origin.settings.get("seed", 0)))
    held = log.take(rounds.test)
    targets = {
        LEARNT: learnt.policy_on(held),
        UNIFORM: uniform(held.n, log.n_actions),
        CONSTANT: _constant(held, best_action(log.take(rounds.train))),
    }
    with ctx.part("reward model", 0, 2, seed=ctx.seed) as part:
        prepared = _prepared(held, targets, params, part)
    found: list[TargetEstimate] = []
    unfinished = ""
    try:
        for step, (name, target) in enumerate(targets.items()):
            label = f"estimate: {name.lower()}"
            with ctx.part(name, len(targets) + step, 2 * len(targets), label=label, seed=ctx.seed) as part:
                found.append(_estimated(prepared, name, target, params, part))
    except TimeOver:
        if not found:
            raise
        missing = " and ".join(name.lower() for name in list(targets)[len(found) :])
        unfinished = f"the {missing} could not be estimated."
    return policy_evidence.findings(
        prepared,
        found,
        learnt,
        estimator=params.estimator,
        alpha=params.alpha,
        warnings=ctx.warnings,
        unfinished=unfinished,
    )


def judge_rounds(
    data: BanditLog, kept: BanditLog, warnings: tuple[str, ...], params: EvaluateParams, ctx: Context
) -> Findings:
    """Compare the kept rounds with all training rounds of `data`; `warnings`: those that came with the kept rounds.

    Raises `JobError` invalid_input for rounds of another log, `TimeOver` when time ends before estimates are compared.
    """
    train = training_part(data)
    _check_same_actions(train, kept)
    with ctx.part("estimates", 0, 2, seed=ctx.seed) as part:
        estimates = estimates_kept(train, kept, part, alpha=params.alpha, draws=params.seeds)
    learnt, unfinished = None, ""
    if params.learn:
        try:
            with ctx.part("policies", 1, 2, seed=ctx.seed) as part:
                learnt = compare_policies(
                    data, kept, part, estimator=params.estimator, alpha=params.alpha, epsilon=params.epsilon
                )
            unfinished = learnt.unfinished
        except TimeOver:
            unfinished = "no policies were learnt and compared, only estimates."
        except JobError as refusal:
            if refusal.code != "too_few_rounds":
                raise
            ctx.warn(f"No policies were learnt and compared, only estimates. {refusal.detail}")
    return rounds_evidence.findings(
        train,
        kept,
        estimates,
        learnt,
        draws=params.seeds,
        warnings=(*data.warnings, *warnings, *ctx.warnings),
        unfinished=unfinished,
    )


def best_action(train: BanditLog) -> int:
    """The action of the largest IPS value on training rounds, rewards counted from the lowest.

    Counted so, an action that was seldom possible is undervalued and never overvalued.
    """
    lowest = float(train.reward.min()) if train.reward_range is None else train.reward_range[0]
    gains = train.round_weight * (train.reward - lowest) / train.propensity
    return int(np.argmax(np.bincount(train.action, gains, train.n_actions)))


def _constant(log: BanditLog, action: int) -> Policy:
    return epsilon_greedy(np.array([action]), log.n_actions, 0.0, np.zeros(log.n, np.int32))


def _prepared(log: BanditLog, targets: dict[str, Policy], params: EvaluateParams, ctx: Context) -> Prepared:
    """Nothing is smoothed: the question is what these very policies earn."""
    name = "per action" if per_action.fits_in_memory(log) else "ridge"
    fit: Fit = {"per action": per_action.fit, "ridge": ridge.fit}[name]
    reward = crossfit(log, fit, targets, FOLDS, ctx.seed, ctx)
    control = control_of(log, reward, targets, ctx)
    identity = None if log.logging is None else tree(hierarchy=np.zeros((1, log.n_actions), np.int32))
    binary = bool(np.all((log.reward == 0) | (log.reward == 1)))
    return Prepared(
        log=log,
        path=identity,
        smooths=False,
        family="none",
        labels=None,
        choice=Choice(name, reward, {}),
        reward=reward,
        path_model=None,
        reward_range=log.reward_range or ((0.0, 1.0) if binary else None),
        control=control,
        against=checks.of_log(log, control),
        unit=units(log),
    )


def _estimated(prepared: Prepared, name: str, target: Policy, params: EvaluateParams, ctx: Context) -> TargetEstimate:
    names = [*dict.fromkeys(("snips", params.estimator, "ips"))]
    options = EstimateParams.model_validate({"estimators": names, "alpha": params.alpha, "segments": []})
    found = estimate_target(prepared, name, target, options, ctx)
    if found.headline.name == "bounds":
        return found
    return replace(found, headline=next(row for row in found.rows if row.name == params.estimator))


def _check_same_actions(train: BanditLog, log: BanditLog) -> None:
    if train.n_actions != log.n_actions or train.contexts.shape[1] != log.contexts.shape[1]:
        raise JobError(
            "invalid_input",
            f"The summary has {log.n_actions} actions and {log.contexts.shape[1]} context features, the dataset "
            f"{train.n_actions} and {train.contexts.shape[1]}.",
            hint="Judge a summary against the dataset it was made of.",
            pointer="/inputs/summary",
        )
