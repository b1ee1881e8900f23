"""Keep the rows of users drawn at random: the baseline every summary must beat.

Users are drawn without replacement from those with training events; O(U) time.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from worker.contract.budget import Budget
from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.selection import first_in_budget, in_bytes, summary_of_users, users_in_budget
from worker.kinds.interactions.summary import InteractionsSummary


class RandomUsersParams(BaseModel):
    """Parameters of `random-users`."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = 500


@method(kind="interactions", task="select", name="random-users", version=1)
def random_users(data: Interactions, params: RandomUsersParams, ctx: Context) -> InteractionsSummary:
    """Rows of real users drawn at random."""
    able = np.flatnonzero(np.diff(data.train.indptr))
    if in_bytes(params.budget):
        users = first_in_budget(data, params.budget, ctx.rng.permutation(able))
    else:
        users = ctx.rng.choice(able, size=users_in_budget(data, params.budget), replace=False)
    users = np.sort(users)
    ctx.progress(1, 1, phase="select")
    return summary_of_users(data, users, "random-users", {"budget": params.budget, "seed": ctx.seed}, ctx)
