"""A perceptron on the features alone: the floor that a network of graphs must beat, or the edges say nothing."""

from __future__ import annotations

from typing import Any

from torch import nn

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.graph.networks.mlp import MLP
from worker.kinds.graph.training_graph import TrainingGraph
from worker.kinds.graph.trials import TUNED, Trial


def build(features: int, classes: int, settings: Settings) -> nn.Module:
    """The network at these settings."""
    return MLP(features, classes, 256, float(settings["dropout"]))


@learner(kind="graph", name="mlp", label="MLP", floor=True, note="features only, no edges", settings=TUNED)
def mlp(graph: TrainingGraph, params: Any, ctx: Context) -> Trial:
    """A perceptron on the labelled nodes of a training graph."""
    return Trial(graph, build, params, ctx.seed)
