"""SVP-CF: keep the training events, or the users, that a small proxy model finds hardest (arXiv:2107.04984).

The proxy, its training and the differences from the official code: `worker.kinds.interactions.sampling.svp`. Takes
O(epochs N latent) time for N events; an epoch is a resume point.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.sampling.svp import Proxy, importance, ranked
from worker.kinds.interactions.selection import EventsParams, sampled
from worker.kinds.interactions.summary import InteractionsSummary


class SVPCFParams(EventsParams):
    """Parameters of `svp-cf` and `svp-cf-prop`."""

    unit: Literal["interaction", "user"] = Field(
        "interaction", description="Keep single events, or all events of a user; a budget then counts users."
    )
    proxy: Literal["mf", "bias_only"] = Field("mf", description="The model that tells which events matter.")
    epochs: int = Field(50, ge=1, le=500, description="Passes of the proxy over the events.")
    latent: int = Field(10, ge=1, le=200, description="Latent factors of the proxy mf.")
    feedback: Literal["implicit", "explicit", "sequential"] = Field(
        "implicit",
        description="What the proxy learns: which items were used (sequential is the same here), or ratings.",
    )


# Fitted by hand to 6 to 800 thousand events, within a factor of 2.
COST = Cost(
    seconds=(Term(2.0), Term(1.5e-6, {"events": 1, "params.epochs": 1}), Term(3e-4, {"params.epochs": 1})),
    memory_mb=(Term(450.0), Term(8e-5, {"events": 1}), Term(3e-4, {"users": 1}), Term(3e-4, {"items": 1})),
)


def select(data: Interactions, params: SVPCFParams, name: str, ctx: Context, *, prop: bool) -> InteractionsSummary:
    """Train the proxy and keep what it finds hardest."""
    events = TrainEvents.of(data)
    proxy = Proxy(params.latent if params.proxy == "mf" else 0, params.epochs, params.feedback == "explicit")
    with ctx.part("proxy", seed=ctx.seed) as part:
        found = importance(events, proxy, part)
    order = ranked(events, found, unit=params.unit, prop=prop, rng=ctx.rng)
    return sampled(data, events, order, params, name, ctx, by_users=params.unit == "user")


@method(kind="interactions", task="select", name="svp-cf", version=1, paper="arXiv:2107.04984", cost=COST)
def svp_cf(data: Interactions, params: SVPCFParams, ctx: Context) -> InteractionsSummary:
    """Events or users that a proxy model finds hard to learn."""
    return select(data, params, "svp-cf", ctx, prop=False)
