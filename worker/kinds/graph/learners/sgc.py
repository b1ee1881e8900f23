"""SGC, two hops (arXiv:1902.07153): linear, so it shows what of the accuracy is in the propagated features alone."""

from __future__ import annotations

from itertools import product
from typing import Any

from torch import nn

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.graph.networks.sgc import SGC
from worker.kinds.graph.training_graph import TrainingGraph
from worker.kinds.graph.trials import Trial

SETTINGS: tuple[Settings, ...] = tuple(
    {"rate": rate, "weight_decay": decay} for rate, decay in product((0.01, 0.2), (5e-4, 0.0))
)


def build(features: int, classes: int, settings: Settings) -> nn.Module:
    """The network."""
    return SGC(features, classes)


@learner(kind="graph", name="sgc", label="SGC", seeds=3, settings=SETTINGS, note="always tuned")
def sgc(graph: TrainingGraph, params: Any, ctx: Context) -> Trial:
    """SGC on a training graph."""
    return Trial(graph, build, params, ctx.seed)
