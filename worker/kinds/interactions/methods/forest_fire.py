"""Keep the training events between users and items that a forest fire burns (arXiv:2201.04768).

Fire, backlog and differences from the official code: `worker.kinds.interactions.sampling.walks`.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.sampling.walks import forest_fire as forest_fire_order
from worker.kinds.interactions.selection import EventsParams, events_to_keep, sampled
from worker.kinds.interactions.summary import InteractionsSummary


class ForestFireParams(EventsParams):
    """Parameters of `forest-fire`."""


@method(kind="interactions", task="select", name="forest-fire", version=1, paper="arXiv:2201.04768")
def forest_fire(data: Interactions, params: ForestFireParams, ctx: Context) -> InteractionsSummary:
    """Events among users and items that a forest fire burns."""
    ctx.progress(0, 1, phase="fire")
    events = TrainEvents.of(data)
    order = forest_fire_order(
        events, ctx.rng, most=events_to_keep(data, params), tick=lambda done: ctx.progress(int(1000 * done), 1000)
    )
    return sampled(data, events, order, params, "forest-fire", ctx)
