"""Keep an equal share of every user's training events, drawn at random (arXiv:2201.04768).

Exactly the asked number of events is kept. Users with few events vanish first when little is kept, as in the published
rule; see `worker.kinds.interactions.sampling.events`. O(N log N) time for N events.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.sampling.events import stratified as stratified_order
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.selection import EventsParams, sampled
from worker.kinds.interactions.summary import InteractionsSummary


class StratifiedParams(EventsParams):
    """Parameters of `stratified`."""


@method(kind="interactions", task="select", name="stratified", version=1, paper="arXiv:2201.04768")
def stratified(data: Interactions, params: StratifiedParams, ctx: Context) -> InteractionsSummary:
    """An equal share of every user's events, at random."""
    events = TrainEvents.of(data)
    return sampled(data, events, stratified_order(events, ctx.rng), params, "stratified", ctx)
