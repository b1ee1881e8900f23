"""A GCN under the protocol of GC4NC, for axes that train one network."""

from __future__ import annotations

from worker.contract.context import Context
from worker.kinds.graph.held import Held
from worker.kinds.graph.networks.fitting import Fitted, Schedule, fit, seeded
from worker.kinds.graph.networks.gcn import GCN
from worker.kinds.graph.training_graph import TrainingGraph


def trained(graph: TrainingGraph, validation: Held, epochs: int, ctx: Context) -> Fitted:
    """The GCN of the best epoch on validation."""
    with seeded(ctx.seed, ctx.device):
        network = GCN(int(graph.x.shape[1]), graph.n_classes)
        return fit(network, graph, Schedule(epochs), validation if len(validation) else None, ctx)


def accuracy(graph: TrainingGraph, validation: Held, test: Held, epochs: int, ctx: Context) -> float:
    """Its share of test nodes whose class is right."""
    return float((trained(graph, validation, epochs, ctx).predict(test) == test.y).mean())
