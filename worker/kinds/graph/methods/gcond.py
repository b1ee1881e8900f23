"""GCond: synthetic nodes and edges on which a network's gradients are those of the real nodes (ICLR 2022).

Jin et al., arXiv:2110.07580, section 3. As `gcond-x`, but the nodes have edges, which a perceptron makes of the
features of their two ends; one epoch in five trains it, the others the features. Edges below `threshold` are dropped,
and where none is left there is a warning. Time O(epochs outer n² hidden²) beside that of `gcond-x`, memory O(n²
hidden).

Departures from the published code, beside those of `gcond-x`: edges begin near 0 instead of 1/2; pairs are never copied
and go through in blocks; layer instead of batch normalisation.
"""

from __future__ import annotations

from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.graph.condensation.costs import LEARNING, MEMORY, PAIRS
from worker.kinds.graph.condensation.matched import EdgeParams, matched
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.summary import CondensedGraph


class GCondParams(EdgeParams):
    """Parameters of `gcond`."""

    outer: int = Field(5, ge=1, le=50, description="Matches for each relay.")
    inner: int = Field(2, ge=0, le=50, description="Steps that the relay is trained between two matches.")


COST = Cost(
    seconds=(
        *LEARNING,
        Term(5e-3, {"params.epochs": 1, "params.outer": 1}),
        Term(1.1e-8, {"params.epochs": 1, "params.outer": 1, "train_nodes": 1, "features": 1, "classes": 1}),
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
    name="gcond",
    version=1,
    paper="arXiv:2110.07580",
    device="any",
    memory_mb=1536,
    cost=COST,
)
def gcond(data: Graph, params: GCondParams, ctx: Context) -> CondensedGraph:
    """Synthetic nodes with learned edges, by matching gradients of a network."""
    return matched(
        data, params, "gcond", ctx, outer=params.outer, inner=params.inner,
        structure="mlp", lr_adj=params.lr_adj, threshold=params.threshold,
    )  # fmt: skip
