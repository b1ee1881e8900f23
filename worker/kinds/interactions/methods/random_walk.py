"""Keep the training events between users and items that a random walk with restarts finds (arXiv:2201.04768).

Walk, restarts and differences from the official code: `worker.kinds.interactions.sampling.walks`.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.sampling.walks import random_walk as random_walk_order
from worker.kinds.interactions.selection import EventsParams, events_to_keep, sampled
from worker.kinds.interactions.summary import InteractionsSummary


class RandomWalkParams(EventsParams):
    """Parameters of `random-walk`."""


@method(kind="interactions", task="select", name="random-walk", version=1, paper="arXiv:2201.04768")
def random_walk(data: Interactions, params: RandomWalkParams, ctx: Context) -> InteractionsSummary:
    """Events among users and items that a random walk finds."""
    ctx.progress(0, 1, phase="walk")
    events = TrainEvents.of(data)
    order = random_walk_order(
        events, ctx.rng, most=events_to_keep(data, params), tick=lambda done: ctx.progress(int(1000 * done), 1000)
    )
    return sampled(data, events, order, params, "random-walk", ctx)
