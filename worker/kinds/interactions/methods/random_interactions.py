"""Keep training events drawn uniformly at random, whoever they belong to.

Exactly the asked number of events is kept (arXiv:2201.04768 reports such samplers by the share kept). Users who lose
all their events are not in the summary. O(N) time for N events.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.sampling.events import uniform
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.selection import EventsParams, sampled
from worker.kinds.interactions.summary import InteractionsSummary


class RandomInteractionsParams(EventsParams):
    """Parameters of `random-interactions`."""


@method(kind="interactions", task="select", name="random-interactions", version=2, paper="arXiv:2201.04768")
def random_interactions(data: Interactions, params: RandomInteractionsParams, ctx: Context) -> InteractionsSummary:
    """Events drawn at random from all users."""
    events = TrainEvents.of(data)
    return sampled(data, events, uniform(events, ctx.rng), params, "random-interactions", ctx)
