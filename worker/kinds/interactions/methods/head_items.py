"""Keep all training events of the items that have most: the mirror of `head-users`.

Equal items are ordered by item id, so the choice is the same for every seed. Other items are then unknown to whatever
learns from the summary. O(N + I log I) time.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.sampling.nodes import head_items as head_items_order
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.selection import EventsParams, sampled
from worker.kinds.interactions.summary import InteractionsSummary


class HeadItemsParams(EventsParams):
    """Parameters of `head-items`."""


@method(kind="interactions", task="select", name="head-items", version=1)
def head_items(data: Interactions, params: HeadItemsParams, ctx: Context) -> InteractionsSummary:
    """All events of the most popular items."""
    events = TrainEvents.of(data)
    return sampled(data, events, head_items_order(events, ctx.rng), params, "head-items", ctx)
