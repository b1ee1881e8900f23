"""CGC: the nodes of `cgc-x`, joined where they point the same way (WWW 2025).

Gao et al., arXiv:2405.13707. Two nodes are joined when the cosine of their features is above `threshold`; features x
then solve min alpha |S x - h|² + tr(x^T L x), S = Â'^3 and L the Laplacian of the edges, so that propagation over the
new edges gives back the means h.

Departures from the published code, beside those of `cgc-x`: it solves a system in which alpha only scales the features,
here alpha weighs fit against smoothness (`compat=official` repeats theirs); features are rescaled so that S x has the
mean norm of h; where no two nodes are alike enough there is a warning, and the result is that of `cgc-x`, where theirs
is alpha times as large as the original features.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from scipy import sparse

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.graph.budget import nodes_asked
from worker.kinds.graph.clustering.cgc import join
from worker.kinds.graph.clustering.surest_means import CGCParams, surest_means
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.making import condensed, ticks
from worker.kinds.graph.selection import bytes_per_node
from worker.kinds.graph.summary import CondensedGraph


class CGCParamsWithEdges(CGCParams):
    """Parameters of `cgc`."""

    threshold: float = Field(0.9, ge=0.5, le=0.9999, description="Cosine above which two nodes are joined.")
    alpha: float = Field(1.0, ge=0.1, le=10, description="Weight of the fit to the means against smoothness.")
    compat: Literal["ours", "official"] = Field(
        "ours", description="The features as derived, or as published code has."
    )


COST = Cost(
    seconds=(
        Term(0.1),
        Term(4e-9, {"edges": 1, "features": 1}),
        Term(2.5e-8, {"nodes": 1, "features": 1}),
        Term(1e-9, {"train_nodes": 3}),
    ),
    memory_mb=(
        Term(350.0),
        Term(1.2e-5, {"nodes": 1, "features": 1}),
    ),
)


@method(kind="graph", task="distil", name="cgc", version=1, paper="arXiv:2405.13707", cost=COST)
def cgc(data: Graph, params: CGCParamsWithEdges, ctx: Context) -> CondensedGraph:
    """Confidence-weighted means of parts of each class, joined by cosine, in seconds."""
    n = nodes_asked(data, params, bytes_per_node=bytes_per_node(data, filled=True))
    seen, tick = data.visible(), ticks(ctx, "cluster")
    tick()
    means = surest_means(seen, n, params, ctx.rng, tick)
    joined = join(means.x, params.threshold, params.alpha, official=params.compat == "official")
    if not joined.edges:
        ctx.warn(
            f"No two nodes have a cosine above the threshold {params.threshold:g}: there are no edges, and the result "
            "is that of cgc-x. A lower threshold would join some."
        )
    adjacency = sparse.csr_array(joined.adjacency) if joined.edges else None
    sees = "unlabelled" if params.pseudo_label else "train"
    return condensed(data, joined.x, means.y, "cgc", params.model_dump(), ctx, adjacency=adjacency, sees=sees)
