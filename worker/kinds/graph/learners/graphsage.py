"""GraphSAGE (arXiv:1706.02216): the node itself beside the mean of its neighbours."""

from __future__ import annotations

from typing import Any

from torch import nn

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.graph.networks.sage import SAGE
from worker.kinds.graph.training_graph import TrainingGraph
from worker.kinds.graph.trials import TUNED, Trial


def build(features: int, classes: int, settings: Settings) -> nn.Module:
    """The network at these settings."""
    return SAGE(features, classes, dropout=float(settings["dropout"]))


@learner(kind="graph", name="graphsage", label="GraphSAGE", usual=False, seeds=3, settings=TUNED)
def graphsage(graph: TrainingGraph, params: Any, ctx: Context) -> Trial:
    """GraphSAGE on a training graph."""
    return Trial(graph, build, params, ctx.seed)
