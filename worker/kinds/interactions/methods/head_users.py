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
from worker.kinds.interactions.selection import first_in_budget, summary_of_users
from worker.kinds.interactions.summary import InteractionsSummary


class HeadUsersParams(BaseModel):
    """Parameters of `head-users`."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = 500


def by_length(lengths: np.ndarray, user_ids: np.ndarray) -> np.ndarray:
    """Indices of the users with events, the longest rows first; ties go to the lower id."""
    return np.lexsort((user_ids, -lengths))[: np.count_nonzero(lengths)]


@method(kind="interactions", task="select", name="head-users", version=1)
def head_users(data: Interactions, params: HeadUsersParams, ctx: Context) -> InteractionsSummary:
    """Rows of the real users with the most events."""
    users = np.sort(first_in_budget(data, params.budget, by_length(np.diff(data.train.indptr), data.user_ids)))
    ctx.progress(1, 1, phase="select")
    return summary_of_users(data, users, "head-users", {"budget": params.budget}, ctx)
