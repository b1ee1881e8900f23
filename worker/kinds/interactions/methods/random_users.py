"""Keep the rows of users drawn at random: the baseline every summary must beat.

Users are drawn without replacement from those with training events; O(N) time.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.sampling.nodes import random_users as random_users_order
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.selection import UsersParams, sampled
from worker.kinds.interactions.summary import InteractionsSummary


class RandomUsersParams(UsersParams):
    """Parameters of `random-users`."""


@method(kind="interactions", task="select", name="random-users", version=2)
def random_users(data: Interactions, params: RandomUsersParams, ctx: Context) -> InteractionsSummary:
    """Rows of real users drawn at random."""
    events = TrainEvents.of(data)
    return sampled(data, events, random_users_order(events, ctx.rng), params, "random-users", ctx, by_users=True)
