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
from worker.kinds.interactions.selection import first_in_budget, summary_of_users
from worker.kinds.interactions.summary import InteractionsSummary


class RandomUsersParams(BaseModel):
    """Parameters of `random-users`."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = 500


def shuffled(lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices of the users whose row length (U,) is not 0, in random order."""
    return rng.permutation(np.flatnonzero(lengths))


@method(kind="interactions", task="select", name="random-users", version=2)
def random_users(data: Interactions, params: RandomUsersParams, ctx: Context) -> InteractionsSummary:
    """Rows of real users drawn at random."""
    users = np.sort(first_in_budget(data, params.budget, shuffled(np.diff(data.train.indptr), ctx.rng)))
    ctx.progress(1, 1, phase="select")
    return summary_of_users(data, users, "random-users", {"budget": params.budget, "seed": ctx.seed}, ctx)
