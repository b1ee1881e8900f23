"""Keep all training events of items drawn at random: the mirror of `random-users`.

Other items are then unknown to whatever learns from the summary. O(N) time.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.sampling.nodes import random_items as random_items_order
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.selection import EventsParams, sampled
from worker.kinds.interactions.summary import InteractionsSummary


class RandomItemsParams(EventsParams):
    """Parameters of `random-items`."""


@method(kind="interactions", task="select", name="random-items", version=1)
def random_items(data: Interactions, params: RandomItemsParams, ctx: Context) -> InteractionsSummary:
    """All events of items drawn at random."""
    events = TrainEvents.of(data)
    return sampled(data, events, random_items_order(events, ctx.rng), params, "random-items", ctx)
