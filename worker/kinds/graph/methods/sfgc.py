"""SFGC: synthetic nodes without edges on which a network goes the way it goes on the whole graph (NeurIPS 2023).

Zheng et al., "Structure-free Graph Condensation: From Large-scale Graphs to Condensed Graph-free Data",
arXiv:2306.02664. Experts are trained on the train nodes of the whole graph; a student that starts where an expert was
is trained for `syn_steps` steps on the synthetic nodes, which are moved so that it ends where the expert was
`expert_epochs` steps later (squared distances). Time O(epochs syn_steps n d hidden), memory O(syn_steps d hidden), disk
4 bytes for each parameter of each kept state of each expert. It pays on a GPU, or with few steps as by default.

Departures from the published code: every expert has a start of its own (theirs is one run that goes on); states are
copies (on a CPU theirs alias the final weights, and the loss is 0/0); starts never lie after the last target; features
have mean norm 1 inside, so one step size fits every graph; small experts (64 units, 4 of them) by default instead of
200 of 256; nodes start as k-means of propagated features; and what validates best is delivered.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.condensation.costs import FOLLOWING
from worker.kinds.graph.condensation.trajectories import TrajectoryParams, followed
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.summary import CondensedGraph


class SFGCParams(TrajectoryParams):
    """Parameters of `sfgc`."""


@method(
    kind="graph",
    task="distil",
    name="sfgc",
    version=1,
    paper="arXiv:2306.02664",
    device="any",
    memory_mb=2048,
    cost=FOLLOWING,
)
def sfgc(data: Graph, params: SFGCParams, ctx: Context) -> CondensedGraph:
    """Synthetic nodes without edges, by following networks trained on the whole graph."""
    return followed(data, params, "sfgc", ctx)
