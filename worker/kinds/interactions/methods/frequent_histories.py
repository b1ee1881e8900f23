"""Keep the histories that most users have, each with the number of users who have it.

Where rows are short, many users share theirs with somebody: a few distinct rows then stand for a large part of all
users. Equally frequent histories are ordered by length, long ones first, then by their first user, so the choice is
the same for every seed; O(events) time.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from worker.contract.budget import Budget, fills_bytes
from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.histories import Histories
from worker.kinds.interactions.summary import InteractionsSummary


class FrequentHistoriesParams(BaseModel):
    """Parameters of `frequent-histories`."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = Field(
        500, **fills_bytes('Distinct histories (500), bytes ("3kB"), or a share of the bytes ("2%").')
    )


@method(kind="interactions", task="select", name="frequent-histories", version=1)
def frequent_histories(data: Interactions, params: FrequentHistoriesParams, ctx: Context) -> InteractionsSummary:
    """The histories that most users share, with how many do."""
    histories = Histories.of(data)
    chosen = histories.first_within(histories.by_frequency(), params.budget)
    ctx.progress(1, 1, phase="select")
    weights = histories.rows.mass[chosen]
    return histories.summary(data, chosen, weights, "frequent-histories", {"budget": params.budget}, ctx)
