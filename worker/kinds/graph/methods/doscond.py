"""DosCond: one-step gradient matching of synthetic nodes and edges (KDD 2022).

Jin et al., "Condensing Graphs via One-Step Gradient Matching", arXiv:2206.07746. Every match is with a relay just drawn
and never trained. `structure=bernoulli` is the paper's: edges are drawn with learned probabilities, relaxed by the
binary concrete distribution whose temperature falls from 1 to 0.1, and their mean is penalised by `sparsity`;
`structure=mlp` is that of the published code for nodes, GCond's generator. What is delivered are the probabilities of
at least `threshold`. Other departures as in `gcond-x` and `gcond`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.graph.condensation.costs import LEARNING, MEMORY, PAIRS
from worker.kinds.graph.condensation.matched import EdgeParams, matched
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.summary import CondensedGraph


class DosCondParams(EdgeParams):
    """Parameters of `doscond`."""

    epochs: int = Field(300, ge=1, le=20_000, description="Relays, each of them matched once.")
    structure: Literal["bernoulli", "mlp"] = Field(
        "bernoulli", description="Free probabilities of edges, or edges that a perceptron makes of features."
    )
    lr_adj: float = Field(
        0.1, ge=1e-6, le=1, description="Step size of Adam on the structure; with structure=mlp 0.003 is enough."
    )
    sparsity: float = Field(0.01, ge=0, le=100, description="Weight of the mean probability of an edge in the loss.")


COST = Cost(
    seconds=(
        *LEARNING,
        Term(5e-3, {"params.epochs": 1}),
        Term(1.1e-8, {"params.epochs": 1, "train_nodes": 1, "features": 1, "classes": 1}),
        Term(9e-7, {"params.epochs": 1, "train_nodes": 2}, {"params.structure": "mlp"}),
    ),
    memory_mb=(
        *MEMORY,
        *PAIRS,
    ),
)


@method(
    kind="graph",
    task="distil",
    name="doscond",
    version=1,
    paper="arXiv:2206.07746",
    device="any",
    memory_mb=1536,
    cost=COST,
)
def doscond(data: Graph, params: DosCondParams, ctx: Context) -> CondensedGraph:
    """Synthetic nodes with learned edges, by matching gradients at fresh networks only."""
    return matched(
        data, params, "doscond", ctx, outer=1, inner=0, structure=params.structure,
        lr_adj=params.lr_adj, threshold=params.threshold, sparsity=params.sparsity,
    )  # fmt: skip
