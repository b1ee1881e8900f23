"""Keep the rows of the users with the most training events.

Where rows are short these users carry most of the information per byte. Equal row lengths are ordered by user
id, so the choice is the same for every seed; O(N + U log U) time.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.sampling.nodes import head_users as head_users_order
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.selection import UsersParams, sampled
from worker.kinds.interactions.summary import InteractionsSummary


class HeadUsersParams(UsersParams):
    """Parameters of `head-users`."""


@method(kind="interactions", task="select", name="head-users", version=1)
def head_users(data: Interactions, params: HeadUsersParams, ctx: Context) -> InteractionsSummary:
    """Rows of the real users with the most events."""
    events = TrainEvents.of(data)
    return sampled(data, events, head_users_order(events, ctx.rng), params, "head-users", ctx, by_users=True)
