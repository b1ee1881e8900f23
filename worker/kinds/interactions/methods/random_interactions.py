"""Keep training events drawn uniformly at random, whoever they belong to.

Exactly the asked number of events is kept (arXiv:2201.04768 reports such samplers by the share kept). Users
who lose all their events are not in the summary. O(N) time for N events.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import sparse

from worker.contract.budget import Budget
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.selection import summary_of_rows, users_in_budget
from worker.kinds.interactions.summary import InteractionsSummary

DEFAULT_PERCENT = 20.0


class RandomInteractionsParams(BaseModel):
    """Parameters of `random-interactions`: `keep_percent` or `budget`, 20 % when neither is given."""

    model_config = ConfigDict(extra="forbid")

    keep_percent: float | None = Field(None, ge=0.1, le=99.9, description="Percent of the training events to keep.")
    budget: Budget | None = Field(
        None, description="The same in units: as many events as that many average users have."
    )

    @model_validator(mode="after")
    def _one_size(self) -> RandomInteractionsParams:
        if self.keep_percent is not None and self.budget is not None:
            raise ValueError("give keep_percent or budget, not both")
        if self.keep_percent is None and self.budget is None:
            self.keep_percent = DEFAULT_PERCENT
        return self


def events_to_keep(data: Interactions, params: RandomInteractionsParams) -> int:
    """Number of events asked for; raises `JobError` `budget_too_small` when that is none."""
    events = data.train.nnz
    if params.budget is not None:
        count = users_in_budget(data, params.budget)
        return max(1, round(count * events / int(np.count_nonzero(np.diff(data.train.indptr)))))
    keep = round(events * (params.keep_percent or DEFAULT_PERCENT) / 100)
    if keep < 1:
        raise JobError(
            "budget_too_small",
            f"keep_percent {params.keep_percent:g} of {events} training events leaves none.",
            hint=f"Ask for at least {100 / events:.3g} percent.",
            pointer="/params/keep_percent",
        )
    return keep


def thinned(rows: sparse.csr_array, keep: int, rng: np.random.Generator) -> sparse.csr_array:
    """Rows of the same shape (U, I) with exactly `keep` of their events."""
    chosen = np.zeros(rows.nnz, dtype=bool)
    chosen[rng.choice(rows.nnz, size=keep, replace=False)] = True
    owner = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))[chosen]
    return sparse.csr_array((np.ones(keep, np.float32), (owner, rows.indices[chosen])), shape=rows.shape)


@method(kind="interactions", task="select", name="random-interactions", version=1, paper="arXiv:2201.04768")
def random_interactions(data: Interactions, params: RandomInteractionsParams, ctx: Context) -> InteractionsSummary:
    """Events drawn at random from all users."""
    keep = events_to_keep(data, params)
    rows = thinned(data.train, keep, ctx.rng)
    users = np.flatnonzero(np.diff(rows.indptr))
    ctx.progress(1, 1, phase="select")
    settings = {"keep_percent": params.keep_percent, "budget": params.budget, "seed": ctx.seed}
    return summary_of_rows(data, sparse.csr_array(rows[users]), users, "random-interactions", settings, ctx)
