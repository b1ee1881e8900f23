"""GCN, two layers (arXiv:1609.02907): the network that published figures of graph condensation are of."""

from __future__ import annotations

from typing import Any

from torch import nn

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.graph.networks.gcn import GCN
from worker.kinds.graph.training_graph import TrainingGraph
from worker.kinds.graph.trials import TUNED, Trial


def build(features: int, classes: int, settings: Settings) -> nn.Module:
    """The network at these settings."""
    return GCN(features, classes, 256, float(settings["dropout"]))


@learner(kind="graph", name="gcn", label="GCN", seeds=3, settings=TUNED)
def gcn(graph: TrainingGraph, params: Any, ctx: Context) -> Trial:
    """GCN on a training graph."""
    return Trial(graph, build, params, ctx.seed)
