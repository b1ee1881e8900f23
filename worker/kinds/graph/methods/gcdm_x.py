"""GCDMX: synthetic nodes without edges whose classes look to random networks as the real ones do.

Distribution matching on graphs: Liu, Li, Chen, Song, "Graph Condensation via Receptive Field Distribution Matching",
arXiv:2206.13697. Every step draws a two-layer GCN and brings the class means of both its layers on the synthetic nodes
nearer to those on the train nodes. Nothing is trained inside, so a step costs one forward and one backward pass through
n nodes and a forward pass through the train nodes and their neighbours.

Departures from the published code: class means are matched, as the paper says, not random pairs; steps are in units of
the features; what validates best is delivered.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.graph.condensation.costs import LEARNING, MEMORY
from worker.kinds.graph.condensation.distributions import DistributionParams, distributed
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.summary import CondensedGraph


class GCDMXParams(DistributionParams):
    """Parameters of `gcdm-x`."""


COST = Cost(
    seconds=(
        *LEARNING,
        Term(8e-3, {"params.epochs": 1, "params.outer": 1}),
        Term(5e-8, {"params.epochs": 1, "params.outer": 1, "train_nodes": 1, "features": 1}),
    ),
    memory_mb=(*MEMORY,),
)


@method(
    kind="graph",
    task="distil",
    name="gcdm-x",
    version=1,
    paper="arXiv:2206.13697",
    device="any",
    memory_mb=1024,
    cost=COST,
)
def gcdm_x(data: Graph, params: GCDMXParams, ctx: Context) -> CondensedGraph:
    """Synthetic nodes without edges, by matching class means through random networks."""
    return distributed(data, params, "gcdm-x", ctx, lr_adj=None)
