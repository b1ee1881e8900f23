"""GAT (arXiv:1710.10903): neighbours weighed by attention."""

from __future__ import annotations

from typing import Any

from torch import nn

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.graph.networks.gat import GAT
from worker.kinds.graph.training_graph import TrainingGraph
from worker.kinds.graph.trials import TUNED, Trial


def build(features: int, classes: int, settings: Settings) -> nn.Module:
    """The network at these settings."""
    return GAT(features, classes, dropout=float(settings["dropout"]))


@learner(kind="graph", name="gat", label="GAT", usual=False, seeds=3, settings=TUNED)
def gat(graph: TrainingGraph, params: Any, ctx: Context) -> Trial:
    """GAT on a training graph."""
    return Trial(graph, build, params, ctx.seed)
