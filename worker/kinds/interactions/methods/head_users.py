"""Keep the rows of the users with the most training events.

Where rows are short these users carry most of the information per byte. Equal row lengths are ordered by user
id, so the choice is the same for every seed; O(U log U) time.
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


class HeadUsersParams(BaseModel):
    """Parameters of `head-users`."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = 500


def head_users_of(lengths: np.ndarray, user_ids: np.ndarray, count: int) -> np.ndarray:
    """Indices in ascending order of the `count` users with the longest rows; ties go to the lower id."""
    return np.sort(np.lexsort((user_ids, -lengths))[:count])


@method(kind="interactions", task="select", name="head-users", version=1)
def head_users(data: Interactions, params: HeadUsersParams, ctx: Context) -> InteractionsSummary:
    """Rows of the real users with the most events."""
    count = users_in_budget(data, params.budget)
    users = head_users_of(np.diff(data.train.indptr), data.user_ids, count)
    ctx.progress(1, 1, phase="select")
    return summary_of_users(data, users, "head-users", {"budget": params.budget}, ctx)
