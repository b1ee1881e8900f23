"""Remove the users and items of the lowest PageRank with their training events (arXiv:2201.04768).

PageRank (Page et al. 1999) with damping 0.85 on the graph of users and items. Equal ranks are removed in random order.
O(N) a round for N events, some 80 rounds.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.sampling.nodes import pagerank as pagerank_order
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.selection import EventsParams, sampled
from worker.kinds.interactions.summary import InteractionsSummary


class PagerankParams(EventsParams):
    """Parameters of `pagerank`."""


@method(kind="interactions", task="select", name="pagerank", version=1, paper="arXiv:2201.04768")
def pagerank(data: Interactions, params: PagerankParams, ctx: Context) -> InteractionsSummary:
    """Events between users and items of high PageRank."""
    ctx.progress(0, 1, phase="select")
    events = TrainEvents.of(data)
    return sampled(data, events, pagerank_order(events, ctx.rng), params, "pagerank", ctx)
