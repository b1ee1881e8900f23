"""GCDM: synthetic nodes and edges whose classes look to random networks as the real ones do.

Liu, Li, Chen, Song, "Graph Condensation via Receptive Field Distribution Matching", arXiv:2206.13697. As `gcdm-x`, with
edges that GCond's generator makes of the features; one epoch in five trains it. Departures as in `gcdm-x` and, for the
generator, `gcond`.
"""

from __future__ import annotations

from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.graph.condensation.costs import LEARNING, MEMORY, PAIRS
from worker.kinds.graph.condensation.distributions import DistributionParams, distributed
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.summary import CondensedGraph


class GCDMParams(DistributionParams):
    """Parameters of `gcdm`."""

    lr_adj: float = Field(1e-3, ge=1e-6, le=1, description="Step size of Adam on the generator of edges.")
    threshold: float = Field(0.05, ge=0, lt=1, description="Edges below this weight are dropped.")


COST = Cost(
    seconds=(
        *LEARNING,
        Term(8e-3, {"params.epochs": 1, "params.outer": 1}),
        Term(5e-8, {"params.epochs": 1, "params.outer": 1, "train_nodes": 1, "features": 1}),
        Term(9e-7, {"params.epochs": 1, "params.outer": 1, "train_nodes": 2}),
    ),
    memory_mb=(
        *MEMORY,
        *PAIRS,
    ),
)


@method(
    kind="graph",
    task="distil",
    name="gcdm",
    version=1,
    paper="arXiv:2206.13697",
    device="any",
    memory_mb=1536,
    cost=COST,
)
def gcdm(data: Graph, params: GCDMParams, ctx: Context) -> CondensedGraph:
    """Synthetic nodes with learned edges, by matching class means through random networks."""
    return distributed(data, params, "gcdm", ctx, lr_adj=params.lr_adj, threshold=params.threshold)
