"""One target on a log of trajectories, by importance sampling and by what fitted Q evaluation adds to it."""

from __future__ import annotations

import numpy as np

from worker.contract.context import Context
from worker.kinds.bandit.policies import Floats, Policy
from worker.kinds.bandit.sequential.magic import magic
from worker.kinds.bandit.sequential.params import SequentialEstimateParams
from worker.kinds.bandit.stepwise import importance
from worker.kinds.bandit.stepwise.fitted_q import FittedQ, fitted_q
from worker.kinds.bandit.stepwise.gain import Range, Weighted
from worker.kinds.bandit.stepwise.importance import Estimate
from worker.kinds.bandit.stepwise.target import Row, Setting, TargetResult, Weights, supported
from worker.kinds.bandit.structures.layout import Layout
from worker.kinds.bandit.structures.trajectories import TrajectoryLog

NEVER = "nothing is assumed"
WITHOUT = "the interval leaves out its error"


def estimate_target(
    data: TrajectoryLog,
    name: str,
    chance: Floats,
    policy: Policy | None,
    params: SequentialEstimateParams,
    setting: Setting,
    ctx: Context,
) -> TargetResult:
    """Every estimator, and the gain by per-decision weights; `chance` (n,): the target's of what was logged."""
    layout = data.layout
    discount = params.discount ** np.arange(layout.steps)
    reward = layout.spread(data.log.reward)
    # A trajectory that has ended keeps its weight: what comes after it is worth 0, by either policy.
    weight = importance.up_to_each(layout.spread(chance / data.log.propensity, 1.0))
    whole = np.repeat(weight[:, -1:], layout.steps, axis=1)
    earned = reward * discount
    rows = [
        setting.row("snpdis", "SNPDIS", importance.self_normalised(weight, earned), weight, NEVER),
        setting.row("pdis", "PDIS", importance.plain(weight, earned), weight, NEVER),
        setting.row("sntis", "SNTIS", importance.self_normalised(whole, earned), whole, NEVER),
        setting.row("tis", "TIS", importance.plain(whole, earned), whole, NEVER),
    ]
    left_out: dict[str, str] = {}
    details: dict[str, object] = {"discount": params.discount}
    robust = None
    if policy is None or params.q_model == "none":
        why = "no model was asked for" if policy is not None else "they need the target's probability of every action"
        left_out["DR, WDR, MAGIC and FQE"] = why
    else:
        q = fitted_q(data.log, layout, policy, params.q_model, params.folds, discount=params.discount, ctx=ctx)
        found, robust, shares = _with_model(weight, earned, q, setting)
        rows = found + rows
        details["magic"] = {str(j): share for j, share in shares.items()}
    given = Weighted.of(
        weight, reward, np.ones(weight.shape, bool), setting.limits, discount,
        supported=supported(data.log, policy), robust=robust,
    )  # fmt: skip
    seen = Weights.of(weight, setting.unit)
    return TargetResult(
        name,
        tuple(rows),
        setting.gain(given),
        seen,
        setting.trust,
        doubts=setting.doubts(seen, "step"),
        deterministic=bool(np.all(data.log.propensity >= 1)),
        left_out=left_out,
        details=details,
    )


def _with_model(
    weight: Floats, earned: Floats, q: FittedQ, setting: Setting
) -> tuple[list[Row], Floats, dict[int, float]]:
    """The estimators that lean on a model, the headline first; DR less what was earned (m,); the shares of MAGIC."""
    plain = importance.doubly_robust(weight, earned, q.logged, q.expected)
    weighted = importance.weighted_doubly_robust(weight, earned, q.logged, q.expected)
    blended, shares = magic(weight, earned, q.logged, q.expected)
    first = q.expected[:, 0]
    rows = [
        setting.row("wdr", "WDR", weighted, weight, NEVER),
        setting.row("dr", "DR", plain, weight, NEVER),
        setting.row(
            "magic",
            "MAGIC",
            blended,
            None,
            f"the model is near, or the log long enough; {WITHOUT}",
        ),
        setting.row(
            "fqe",
            "FQE",
            Estimate(float(first.mean()), first),
            None,
            f"the model is right; {WITHOUT}",
        ),
    ]
    return rows, plain.influence - earned.sum(axis=1), shares


def until_the_end(layout: Layout, limits: Range) -> Range:
    """The range of a step's reward, with 0 for those after an end where trajectories differ in length."""
    if limits is None or layout.present.all():
        return limits
    return min(limits[0], 0.0), max(limits[1], 0.0)
