"""The method a user gets who names none: what the evidence favours for data of this shape.

Learned rows beat any real rows of the same number, but they are dense: where users have fewer than five
events, real head users carry more per byte, and a summary larger than its source is no summary. So the mean
row decides.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from worker.contract.budget import Budget
from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.methods.distill_cf import DistillCFParams, distill_cf
from worker.kinds.interactions.methods.head_users import HeadUsersParams, head_users
from worker.kinds.interactions.summary import InteractionsSummary

HEAD_BELOW = 5.0  # mean training events of a user


class AutoParams(BaseModel):
    """Parameters of `auto`."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = 500


def mean_row(data: Interactions) -> float:
    """Mean training events of the users who have any."""
    rows = data.training_rows()
    return rows.nnz / max(1, rows.shape[0])


@method(kind="interactions", task="distil", name="auto", version=1, device="any", memory_mb=3072)
def auto(data: Interactions, params: AutoParams, ctx: Context) -> InteractionsSummary:
    """Head users where rows are short, learned rows otherwise; the report says why."""
    mean = mean_row(data)
    if mean < HEAD_BELOW:
        reason = (
            f"Users have {mean:.1f} training events on average: with fewer than {HEAD_BELOW:g}, real head "
            f"users keep more per byte than learned rows, so `auto` chose head-users."
        )
        chosen = "head-users"
    else:
        reason = (
            f"Users have {mean:.1f} training events on average: with {HEAD_BELOW:g} or more, learned rows "
            f"keep most for their number, so `auto` chose distill-cf."
        )
        chosen = "distill-cf"
    if chosen == "head-users":
        summary = head_users(data, HeadUsersParams(budget=params.budget), ctx)
    else:
        summary = distill_cf(data, DistillCFParams(budget=params.budget), ctx)
    return replace(summary, origin=replace(summary.origin, reason=reason))
