"""DosCondX: one-step gradient matching of synthetic nodes without edges (KDD 2022).

Jin et al., "Condensing Graphs via One-Step Gradient Matching", arXiv:2206.07746. As `gcond-x`, but every match is with
a relay just drawn, which is never trained: there is no inner loop. Departures as in `gcond-x`.
"""

from __future__ import annotations

from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.graph.condensation.costs import LEARNING, MEMORY
from worker.kinds.graph.condensation.matched import MatchingParams, matched
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.summary import CondensedGraph


class DosCondXParams(MatchingParams):
    """Parameters of `doscond-x`."""

    epochs: int = Field(300, ge=1, le=20_000, description="Relays, each of them matched once.")


COST = Cost(
    seconds=(
        *LEARNING,
        Term(5e-3, {"params.epochs": 1}),
        Term(1.1e-8, {"params.epochs": 1, "train_nodes": 1, "features": 1, "classes": 1}),
    ),
    memory_mb=(*MEMORY,),
)


@method(
    kind="graph",
    task="distil",
    name="doscond-x",
    version=1,
    paper="arXiv:2206.07746",
    device="any",
    memory_mb=1024,
    cost=COST,
)
def doscond_x(data: Graph, params: DosCondXParams, ctx: Context) -> CondensedGraph:
    """Synthetic nodes without edges, by matching gradients at fresh networks only."""
    return matched(data, params, "doscond-x", ctx, outer=1, inner=0)
