"""The hidden layer of a GCN trained on the whole of what may be looked at."""

from __future__ import annotations

import numpy as np
import torch

from worker.contract.context import Context
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.networks.fitting import Schedule, fit, seeded
from worker.kinds.graph.networks.gcn import GCN
from worker.kinds.graph.networks.products import Sparse, factor
from worker.kinds.graph.training_graph import TrainingGraph


def hidden_layer(seen: Graph, ctx: Context, epochs: int = 200) -> np.ndarray:
    """float32 (train nodes, 256) of a visible graph: a GCN with dropout 0.5, after its last epoch."""
    graph = TrainingGraph.of(seen)
    with ctx.part("hidden layer") as part, seeded(part.seed, ctx.device):
        network = GCN(seen.d, seen.n_classes, 256, 0.5)
        fit(network, graph, Schedule(epochs), None, part)
    with torch.no_grad():
        operator = None if graph.operator is None else Sparse.of(graph.operator, ctx.device, symmetric=True)
        found = network.hidden(factor(graph.x, ctx.device), operator)
    return found.cpu().numpy()[seen.train]
