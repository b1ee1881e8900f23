"""What all target policies share: the rounds, the smoothing path, the groups of actions, the fitted reward models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit.convolution import Convolution, Family, convolution
from worker.kinds.bandit.convolution.neighbours import action_points
from worker.kinds.bandit.convolution.tree import tree
from worker.kinds.bandit.dataset import TEST, BanditLog
from worker.kinds.bandit.estimation.guardrails import Guardrail, guardrails_of
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimation.series import Reward
from worker.kinds.bandit.gain import checks
from worker.kinds.bandit.gain.checks import Against
from worker.kinds.bandit.gain.control import Control, control_of
from worker.kinds.bandit.policies import Policy
from worker.kinds.bandit.reward_models import evidence_ridge, gbdt, logistic, mlp, none, per_action, ridge
from worker.kinds.bandit.reward_models.choice import Choice, choose
from worker.kinds.bandit.reward_models.crossfit import CrossFitted, Fit, crossfit
from worker.kinds.bandit.reward_models.pairwise import TwoStep

LEAST_ROUNDS = 30
FITS: dict[str, Fit] = {
    "ridge": ridge.fit,
    "per_action": per_action.fit,
    "logistic": logistic.fit,
    "gbdt": gbdt.fit,
    "mlp": mlp.fit,
    "none": none.fit,
}


@dataclass(frozen=True)
class Prepared:
    """What every target's estimate starts from.

    `path`: the smoothing path, of the identity alone where nothing says which actions are near; None without a
    logging policy. `smooths`: whether it really smooths. `labels` (A,): groups of actions for MIPS and OffCEM.
    `choice`: which reward model, and what others erred; `reward`: that one, cross-fitted; `path_model`: the one of
    largest evidence, which the default selector uses; `clusters`: the two-step model of OffCEM, where it was asked
    for. `control`: what is taken off rewards in the gain; `against`: what in the log speaks against its
    propensities; `unit` (n,): user from 0 of every round, where rounds of a user go together in intervals;
    `guardrails`: further rewards.
    """

    log: BanditLog
    path: Convolution | None
    smooths: bool
    family: str
    labels: NDArray[np.int32] | None
    choice: Choice
    reward: CrossFitted
    path_model: CrossFitted | None
    reward_range: tuple[float, float] | None
    control: Control
    against: Against
    unit: NDArray[np.intp] | None
    clusters: CrossFitted | None = None
    guardrails: tuple[Guardrail, ...] = ()

    @property
    def main(self) -> Reward:
        """The reward itself."""
        return Reward(self.log, self.control, self.against, self.reward_range)

    @property
    def trust(self) -> float:
        """A claim must stand while propensities are off by this factor.

        1 for a recorded logging policy, which the log itself can contradict, and for attested propensities; 1.05 for
        propensities alone, where it hardly can; 1.1 for propensities fitted to the log, which agree by construction.
        """
        if self.log.estimated:
            return 1.1
        return 1.05 if self.log.logging is None and not self.log.attested else 1.0


def rounds_to_use(log: BanditLog, params: EstimateParams, *, learnt: bool, ctx: Context) -> BanditLog:
    """The rounds to estimate on: held-out ones for a policy that may have been learnt on the others."""
    held_out = params.rounds == "test" or (params.rounds == "auto" and learnt)
    if held_out and log.split is None:
        ctx.warn("The log was never split, so the learnt policy is judged on rounds it may have been trained on.")
    rounds = np.flatnonzero(log.split == TEST) if held_out and log.split is not None else np.arange(log.n)
    if params.max_rounds is not None and params.max_rounds < len(rounds):
        ctx.warn(f"{params.max_rounds} of {len(rounds)} rounds were drawn at random; intervals are wider accordingly.")
        rounds = np.sort(ctx.rng.choice(rounds, params.max_rounds, replace=False))
    if len(rounds) < LEAST_ROUNDS:
        raise JobError(
            "too_few_rounds",
            f"There are {len(rounds)} rounds to estimate on; the least is {LEAST_ROUNDS}.",
            hint="Upload more rounds, or set `rounds` to all.",
            pointer="/params/rounds",
        )
    if params.cluster_by == "user" and log.user is None:
        raise JobError(
            "invalid_params",
            "cluster_by is user, but the log has no user column.",
            hint="Upload a column `user_id`, or leave cluster_by out.",
            pointer="/params/cluster_by",
        )
    return log if len(rounds) == log.n else log.take(rounds)


def prepare(log: BanditLog, targets: Mapping[str, Policy], params: EstimateParams, ctx: Context) -> Prepared:
    """Build the path and fit the models."""
    family = _family(log, params)
    path, smooths = _path(log, family, params, ctx)
    labels = groups_of(log)
    with ctx.part("reward model", 0, 3, seed=ctx.seed) as part:
        bounds = _declared(log, params)
        if params.reward_model == "auto":
            choice = choose(log, targets, params.folds, ctx.seed, part, bounds)
        else:
            model = _model_name(log, params)
            reward = crossfit(log, FITS[model], targets, params.folds, ctx.seed, part)
            choice = Choice(model, reward, {})
        reward = choice.reward
    clusters = None
    wanted = "offcem" in params.estimators and params.offcem_model == "two_step"
    if wanted and labels is not None and log.logging is not None:
        with ctx.part("cluster model", 1, 3, label="reward model", seed=ctx.seed) as part:
            clusters = crossfit(log, TwoStep(labels), targets, params.folds, ctx.seed, part)
    path_model = None
    if smooths and params.selection == "policy_ess" and (log.contexts.shape[1] or log.embeddings is not None):
        with ctx.part("reward model of the smoothing path", 2, 3, label="reward model", seed=ctx.seed) as part:
            path_model = evidence_ridge.crossfit(log, targets, params.folds, ctx.seed, part)
    if reward.in_sample:
        ctx.warn("With folds = 1 the reward model predicts the rounds it was fitted to, which flatters DM and DR.")
    control = control_of(log, reward, targets, ctx, chosen=len(choice.errors) > 1)
    against, unit = checks.of_log(log, control), units(log, params.cluster_by)
    with ctx.part("guardrails", 2, 3, label="reward model of a guardrail", seed=ctx.seed) as part:
        guardrails = guardrails_of(log, targets, params, part)
    return Prepared(
        log,
        path,
        smooths,
        family,
        labels,
        choice,
        reward,
        path_model,
        bounds,
        control,
        against,
        unit,
        clusters,
        guardrails,
    )


def units(log: BanditLog, cluster_by: str = "auto") -> NDArray[np.intp] | None:
    """User of every round (n,), counted from 0; None where rounds stand alone, or no user has two."""
    if log.user is None or cluster_by == "round":
        return None
    _, unit = np.unique(log.user, return_inverse=True)
    return unit if int(unit.max()) + 1 < log.n else None


def groups_of(log: BanditLog) -> NDArray[np.int32] | None:
    """Group of every action (A,): the finest uploaded level, else a tree's cut into about sqrt(A) groups."""
    if log.hierarchy is not None:
        return log.hierarchy[-1]
    if log.embeddings is None:
        return None
    cut = tree(action_points(log.embeddings, "euclidean", True), groups=(max(2, round(log.n_actions**0.5)),))
    return cut.labels[1] if len(cut.taus) > 1 else None


def _family(log: BanditLog, params: EstimateParams) -> str:
    if params.convolution != "auto":
        return params.convolution
    return "tree" if log.hierarchy is not None else "knn"


def _path(log: BanditLog, family: str, params: EstimateParams, ctx: Context) -> tuple[Convolution | None, bool]:
    """The path, and whether it smooths. Asking for a convolution by name where it cannot be had is an error."""
    asked = params.convolution != "auto" or params.tau_target is not None or params.tau_logging is not None
    if log.logging is None:
        if asked:
            raise JobError(
                "logging_policy_required",
                "Smoothing needs the logging policy's probabilities of neighbouring actions, not only of logged ones.",
                hint="Upload logging_policy.npz (dense, CSR or by context), or leave the convolution out.",
                pointer="/params/convolution",
            )
        ctx.warn(
            "Only the propensities of logged actions are known, not the whole logging policy: nothing could be "
            "smoothed, and the sample ESS stands in for the policy ESS. Upload `logging_policy`, or set "
            "`logging_builtin` where it was uniform."
        )
        return None, False
    known = log.embeddings is not None or (family == "tree" and log.hierarchy is not None)
    if not known and not asked:
        ctx.warn("Nothing says which actions are alike (no embeddings, no hierarchy), so nothing was smoothed.")
        return tree(hierarchy=np.zeros((1, log.n_actions), np.int32)), False
    build = partial(
        convolution,
        cast(Family, family),
        log.embeddings,
        log.hierarchy,
        normalize=params.normalize,
        device=ctx.device,
    )
    return _with_given(build, params, own_levels=family == "tree" and log.hierarchy is not None), True


def _with_given(build: Callable[..., Convolution], params: EstimateParams, *, own_levels: bool) -> Convolution:
    """The path with the amounts of smoothing that were asked for; `own_levels`: it has its own and no others."""
    asked = {"tau_target": params.tau_target, "tau_logging": params.tau_logging}
    given = {tau for tau in asked.values() if tau is not None}
    if given and not own_levels and (len(given) == 2 or params.selection == "fixed"):
        path = build(taus=tuple(sorted(given)))
    else:
        path = build()
        if given and not own_levels:
            path = build(taus=tuple(sorted({*path.taus[1:], *given})))
    for name, tau in asked.items():
        if tau is not None and tau not in path.taus:
            raise JobError(
                "invalid_params",
                f"{name} is {tau:g}, which is no amount of smoothing of the convolution {path.family}.",
                hint=f"Here it has {', '.join(f'{known:g}' for known in path.taus)}"
                + ("." if own_levels else "; knn takes whole numbers of neighbours from 1, tree of groups from 1."),
                pointer=f"/params/{name}",
            )
    return path


def _model_name(log: BanditLog, params: EstimateParams) -> str:
    if params.reward_model == "logistic" and len(np.unique(log.reward)) < 2:
        raise JobError(
            "single_class_reward",
            "Every reward is the same, so there is nothing for a logistic model to tell apart.",
            hint="Choose the reward model ridge or none.",
            pointer="/params/reward_model",
        )
    return params.reward_model


def _declared(log: BanditLog, params: EstimateParams) -> tuple[float, float] | None:
    """Known bounds of the reward: the job's, the dataset's, or 0 and 1 where every reward is one of the two."""
    if params.r_min is not None and params.r_max is not None:
        low, high = params.r_min, params.r_max
        if not low < high:
            raise JobError("invalid_params", "r_min must lie below r_max.", pointer="/params/r_min")
        if log.reward.min() < low or log.reward.max() > high:
            raise JobError(
                "invalid_params",
                f"Rewards lie between {log.reward.min():g} and {log.reward.max():g}, outside the declared bounds.",
                hint="Declare bounds that hold for every reward.",
                pointer="/params/r_min",
            )
        return low, high
    if log.reward_range is not None:
        return log.reward_range
    return (0.0, 1.0) if np.all((log.reward == 0) | (log.reward == 1)) else None
