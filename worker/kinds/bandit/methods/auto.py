"""The default estimate, for users who name no method: its convolution fits what is known about the actions.

A hierarchy makes a tree, embeddings nearest neighbours, neither leaves the plain estimators; the amount of smoothing
follows from policy ESS. A log of slates, doses or trajectories gets the estimators of these. The report says what was
chosen and why.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import method
from worker.evidence.findings import Findings
from worker.kinds.bandit.continuous.params import ContinuousEstimateParams
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.methods.continuous_estimate import continuous_estimate
from worker.kinds.bandit.methods.policy_convolution import policy_convolution
from worker.kinds.bandit.methods.sequential_estimate import sequential_estimate
from worker.kinds.bandit.methods.slate_estimate import slate_estimate
from worker.kinds.bandit.sequential.params import SequentialEstimateParams
from worker.kinds.bandit.slates.params import SlateEstimateParams
from worker.kinds.bandit.structures import Log, decisions
from worker.kinds.bandit.structures.doses import DoseLog
from worker.kinds.bandit.structures.slates import SlateLog
from worker.kinds.bandit.structures.trajectories import TrajectoryLog
from worker.kinds.bandit.targets import POLICY, TARGETS


class AutoParams(BaseModel):
    """Parameters of `auto`."""

    model_config = ConfigDict(extra="forbid")

    targets: list[str] = Field(
        [],
        max_length=20,
        description="Policies to estimate: uploaded names, `uniform`, `learnt`. Empty: all but uniform.",
    )


@method(kind="bandit", task="estimate", name="auto", version=1, inputs=(POLICY, TARGETS), memory_mb=3072)
def auto(data: Log, params: AutoParams, ctx: Context) -> Findings:
    """What target policies would have earned, with the smoothing that the log's action features allow."""
    if not isinstance(data, BanditLog) and any(ctx.inputs.get(one.name) is not None for one in (POLICY, TARGETS)):
        raise JobError(
            "unsupported",
            f"The log holds {data.units}, and policies that are given as inputs are those of single decisions.",
            hint="Upload target policies with the log, as columns or as target_policies/NAME.npz.",
            pointer="/inputs",
        )
    if isinstance(data, SlateLog):
        found = slate_estimate(data, SlateEstimateParams(targets=params.targets), ctx)
        return replace(found, because=f"`auto` chose the estimators of slates. {found.because}")
    if isinstance(data, DoseLog):
        found = continuous_estimate(data, ContinuousEstimateParams(targets=params.targets), ctx)
        return replace(found, because=f"`auto` chose the estimators of doses. {found.because}")
    if isinstance(data, TrajectoryLog):
        found = sequential_estimate(data, SequentialEstimateParams(targets=params.targets), ctx)
        return replace(found, because=f"`auto` chose the estimators of trajectories. {found.because}")
    data = decisions(data)
    found = policy_convolution(data, EstimateParams(targets=params.targets), ctx)
    return replace(found, because=f"{_reason(data)} {found.because}")


def _reason(log: BanditLog) -> str:
    if log.logging is None:
        return "`auto` chose the plain estimators: the whole logging policy is not known."
    if log.hierarchy is not None:
        return "`auto` chose the tree convolution, along the uploaded hierarchy of actions."
    if log.embeddings is not None:
        return "`auto` chose the kNN convolution, on the uploaded action embeddings."
    return "`auto` chose the plain estimators: nothing says which actions are alike."
