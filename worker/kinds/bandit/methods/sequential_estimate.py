"""What would another policy have earned over trajectories: sessions, treatments, dialogues, games?

A decision changes the states that follow, so weights multiply along a trajectory: over all of it (TIS), or up to the
reward they weigh (PDIS; Precup, Sutton and Singh 2000). A model of what comes (fitted Q evaluation) takes noise away
without adding bias: DR (Jiang and Li 2016, arXiv:1511.03722), its self-normalised form WDR, and MAGIC, which blends WDR
with the model (Thomas and Brunskill 2016, arXiv:1604.00923).

Cost: linear in the rows; a model a step and fold.
"""

from __future__ import annotations

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import method
from worker.evidence.findings import Findings
from worker.evidence.wording import number
from worker.kinds.bandit.sequential.estimate import estimate_target, until_the_end
from worker.kinds.bandit.sequential.params import SequentialEstimateParams
from worker.kinds.bandit.stepwise import evidence
from worker.kinds.bandit.stepwise.importance import Estimate
from worker.kinds.bandit.stepwise.target import (
    Setting,
    TargetResult,
    clusters,
    disagreement,
    limits_of,
    named,
    trust_of,
)
from worker.kinds.bandit.stepwise.verdict import Words
from worker.kinds.bandit.structures import Log
from worker.kinds.bandit.structures.trajectories import TrajectoryLog

WORDS = Words("trajectory", "trajectories", "step", "the probability of a logged trajectory")


@method(
    kind="bandit", task="estimate", name="sequential-estimate", version=1, paper="arXiv:1604.00923", memory_mb=2048,
)  # fmt: skip
def sequential_estimate(data: Log, params: SequentialEstimateParams, ctx: Context) -> Findings:
    """What target policies would have earned over trajectories, by importance sampling, DR, WDR and MAGIC."""
    if not isinstance(data, TrajectoryLog):
        raise JobError(
            "unsupported",
            "The log holds no trajectories.",
            hint="Upload it with the option structure=trajectories and columns trajectory and step.",
            pointer="/method",
        )
    log, layout = data.log, data.layout
    first = layout.rows[:, 0]
    limits = until_the_end(layout, limits_of(params, log.reward_range, log.reward))
    worth = float((params.discount ** np.arange(layout.steps)).sum())
    setting = Setting(
        params.alpha,
        limits,
        clusters(params, first if log.user is None else log.user[first], users=data.users),
        trust_of(params, logging_known=log.logging is not None, estimated=log.estimated),
        reach=None if limits is None else (limits[0] * worth, limits[1] * worth),
        against=disagreement(log),
    )
    names = named(
        params.targets,
        [*log.targets, *data.chances],
        "a column target_probability_NAME, or a policy as target_policies/NAME.npz",
    )
    found: list[TargetResult] = []
    for place, name in enumerate(names):
        policy = log.targets.get(name)
        chance = data.chances[name] if policy is None else policy.at(log.action)
        with ctx.part(name, place, len(names), label="estimate", seed=ctx.seed) as part:
            part.progress(0, 1, phase="estimate")
            found.append(estimate_target(data, name, chance, policy, params, setting, part))
    earned = (layout.spread(log.reward) * params.discount ** np.arange(layout.steps)).sum(axis=1)
    logged = setting.row("logging", "Mean return", Estimate(float(earned.mean()), earned))
    independent = "users" if setting.unit is not None else "trajectories"
    return evidence.findings(
        found,
        logged,
        setting,
        WORDS,
        layout.units,
        because=f"Estimated on {number(layout.units)} trajectories of up to {number(layout.steps)} steps.",
        protocol=f"Intervals take {independent} as independent. Rewards are discounted by {params.discount:g} a step; "
        f"the model is {params.q_model}, cross-fitted over {params.folds} folds.",
        warnings=[*log.warnings, *ctx.warnings],
    )
