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
from worker.kinds.interactions.selection import summary_of_users, users_in_budget
from worker.kinds.interactions.summary import InteractionsSummary


class RandomUsersParams(BaseModel):
    """Parameters of `random-users`."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = 500


def random_users_of(lengths: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` user indices in ascending order from those whose row length (U,) is not 0."""
    return np.sort(rng.choice(np.flatnonzero(lengths), size=count, replace=False))


@method(kind="interactions", task="select", name="random-users", version=1)
def random_users(data: Interactions, params: RandomUsersParams, ctx: Context) -> InteractionsSummary:
    """Rows of real users drawn at random."""
    count = users_in_budget(data, params.budget)
    users = random_users_of(np.diff(data.train.indptr), count, ctx.rng)
    ctx.progress(1, 1, phase="select")
    return summary_of_users(data, users, "random-users", {"budget": params.budget, "seed": ctx.seed}, ctx)
