"""The method a user gets who names none: an estimate whose convolution fits what is known about the actions.

A hierarchy makes a tree, embeddings nearest neighbours, neither leaves the plain estimators; the amount of smoothing
follows from policy ESS. The report says what was chosen and why.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from worker.evidence.findings import Findings
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.methods.policy_convolution import policy_convolution
from worker.contract.context import Context
from worker.contract.method import method


class AutoParams(BaseModel):
    """Parameters of `auto`."""

    model_config = ConfigDict(extra="forbid")

    targets: list[str] = Field(
        [],
        max_length=20,
        description="Policies to estimate: uploaded names, `uniform`, `learnt`. Empty: all but uniform.",
    )


@method(kind="bandit", task="estimate", name="auto", version=1, inputs=("policy?",), memory_mb=3072)
def auto(data: BanditLog, params: AutoParams, ctx: Context) -> Findings:
    """What target policies would have earned, with the smoothing that the log's action features allow."""
    if data.logging is None:
        ctx.warn("`auto` chose the plain estimators: the whole logging policy is not known.")
    elif data.hierarchy is not None:
        ctx.warn("`auto` chose the tree convolution, along the uploaded hierarchy of actions.")
    elif data.embeddings is not None:
        ctx.warn("`auto` chose the kNN convolution, on the uploaded action embeddings.")
    else:
        ctx.warn("`auto` chose the plain estimators: nothing says which actions are alike.")
    return policy_convolution(data, EstimateParams(targets=params.targets), ctx)
