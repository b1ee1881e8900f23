"""Keep the latest training events of every user, an equal share of each (arXiv:2201.04768).

Exactly the asked number of events is kept; see `worker.kinds.interactions.sampling.events`. O(N log N) time.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.sampling.events import temporal as temporal_order
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.selection import EventsParams, sampled
from worker.kinds.interactions.summary import InteractionsSummary


class TemporalParams(EventsParams):
    """Parameters of `temporal`."""


@method(kind="interactions", task="select", name="temporal", version=1, paper="arXiv:2201.04768")
def temporal(data: Interactions, params: TemporalParams, ctx: Context) -> InteractionsSummary:
    """An equal share of every user's events, the latest ones."""
    events = TrainEvents.of(data)
    return sampled(data, events, temporal_order(events, ctx.rng), params, "temporal", ctx)
