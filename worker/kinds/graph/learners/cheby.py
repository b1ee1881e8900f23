"""Cheby (arXiv:1606.09375): Chebyshev polynomials of the Laplacian."""

from __future__ import annotations

from typing import Any

from torch import nn

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.graph.networks.cheby import Cheby
from worker.kinds.graph.training_graph import TrainingGraph
from worker.kinds.graph.trials import TUNED, Trial


def build(features: int, classes: int, settings: Settings) -> nn.Module:
    """The network at these settings."""
    return Cheby(features, classes, dropout=float(settings["dropout"]))


@learner(kind="graph", name="cheby", label="Cheby", usual=False, seeds=3, settings=TUNED)
def cheby(graph: TrainingGraph, params: Any, ctx: Context) -> Trial:
    """Cheby on a training graph."""
    return Trial(graph, build, params, ctx.seed)
