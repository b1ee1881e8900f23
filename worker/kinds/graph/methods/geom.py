"""GEOM: trajectory matching with experts taught from easy to hard and a window that widens (ICML 2024).

Zhang et al., "Navigating Complexity: Toward Lossless Graph Condensation via Expanding Window Matching",
arXiv:2402.05011. As `sfgc`, with four changes: experts see easy nodes first (`curriculum`), starts are drawn from a
window that widens to later epochs, the loss is a ratio of distances, not of squares, and the final expert's loss on the
synthetic nodes is added (`beta`), whose labels are soft.

Departures beside those of `sfgc`: a node's difficulty is told by the classes that a probe guesses for its neighbours;
targets lie `expert_epochs` after the start, where theirs is one late state; experts see all nodes from half way on,
whatever the curriculum; labels are learned by Adam; there is no temperature (the published one is never moved: its
optimiser is reset twice and takes no step).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.condensation.costs import FOLLOWING
from worker.kinds.graph.condensation.trajectories import TrajectoryParams, followed
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.summary import CondensedGraph


class GEOMParams(TrajectoryParams):
    """Parameters of `geom`."""

    curriculum: Literal["geom", "root", "linear", "none"] = Field(
        "geom", description="How the share of nodes that an expert sees grows to all of them, half way."
    )
    easy: float = Field(0.75, gt=0, le=1, description="The share in the beginning, easy nodes first.")
    window: int = Field(5, ge=1, le=500, description="Kept states to start from in the beginning; one more each match.")
    beta: float = Field(0.1, ge=0, le=10, description="Weight of the final expert's loss on the synthetic nodes.")
    soft_labels: bool = Field(True, description="Learn probabilities of classes beside features.")


@method(
    kind="graph",
    task="distil",
    name="geom",
    version=1,
    paper="arXiv:2402.05011",
    device="any",
    memory_mb=2048,
    cost=FOLLOWING,
)
def geom(data: Graph, params: GEOMParams, ctx: Context) -> CondensedGraph:
    """Synthetic nodes with soft labels, by following networks taught from easy to hard."""
    return followed(
        data, params, "geom", ctx, curriculum="" if params.curriculum == "none" else params.curriculum,
        easy=params.easy, window=params.window, beta=params.beta, soft=params.soft_labels, squared=False,
    )  # fmt: skip
