"""APPNP (arXiv:1810.05997): predictions spread by personalised PageRank."""

from __future__ import annotations

from typing import Any

from torch import nn

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.graph.networks.appnp import APPNP
from worker.kinds.graph.training_graph import TrainingGraph
from worker.kinds.graph.trials import TUNED, Trial


def build(features: int, classes: int, settings: Settings) -> nn.Module:
    """The network at these settings."""
    return APPNP(features, classes, dropout=float(settings["dropout"]))


@learner(kind="graph", name="appnp", label="APPNP", usual=False, seeds=3, settings=TUNED)
def appnp(graph: TrainingGraph, params: Any, ctx: Context) -> Trial:
    """APPNP on a training graph."""
    return Trial(graph, build, params, ctx.seed)
