"""Training a network on one graph, and its early choice on the validation nodes of the original graph.

The protocol of GC4NC (NeurIPS 2025 Datasets & Benchmarks): a fixed number of epochs over the whole training graph with
Adam, at half-time a fresh one with a tenth of the step, and the state that is best on validation kept, ties to the
earlier. It departs in one thing: validation is measured at every third epoch, not at each.
"""

from __future__ import annotations

import copy
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.graph.held import Held
from worker.kinds.graph.networks.products import Factor, Sparse, factor
from worker.kinds.graph.training_graph import TrainingGraph

EVERY = 3  # epochs between two looks at validation


@dataclass(frozen=True)
class Schedule:
    """How a network is trained."""

    epochs: int = 300
    rate: float = 0.01
    weight_decay: float = 5e-4


@dataclass(frozen=True)
class Fitted:
    """A trained network, which predicts held-out nodes of the original graph."""

    network: nn.Module
    device: str = "cpu"

    @torch.no_grad()
    def logits(self, held: Held) -> np.ndarray:
        """Logits of the held-out nodes, float32 (m, C)."""
        x, operator, nodes = on_device(held, self.device)
        self.network.eval()
        return self.network(x, operator)[nodes].cpu().numpy()

    def predict(self, held: Held) -> np.ndarray:
        """Classes of the held-out nodes, int64 (m,)."""
        return self.logits(held).argmax(axis=1)


def on_device(held: Held, device: str) -> tuple[Factor, Sparse, Tensor]:
    """Features, Â and the predicted rows as networks take them, made once for each graph."""
    if device not in held.cached:
        operator = Sparse.of(held.operator, device, symmetric=True)
        held.cached[device] = factor(held.x, device), operator, torch.from_numpy(held.nodes).to(device)
    return held.cached[device]


def fit(network: nn.Module, graph: TrainingGraph, schedule: Schedule, validation: Held | None, ctx: Context) -> Fitted:
    """Train a network in place on a graph; the state that is best on validation, the last one where there is none.

    Raises `JobError` `diverged` when the loss is not a number.
    """
    device = ctx.device
    network = network.to(device)
    x = factor(graph.x, device)
    operator = None if graph.operator is None else Sparse.of(graph.operator, device, symmetric=True)
    labelled = torch.from_numpy(graph.labelled).to(device)
    targets = torch.from_numpy(graph.targets()).to(device)
    weight = torch.ones(len(labelled)) if graph.weight is None else torch.from_numpy(graph.weight)
    weight = (weight / weight.sum()).to(device)
    optimiser = _adam(network, schedule.rate, schedule)
    best, kept = -1, copy.deepcopy(network.state_dict())
    for epoch in range(schedule.epochs):
        if epoch % EVERY == 0:
            ctx.progress(epoch, schedule.epochs)
        if epoch == schedule.epochs // 2:
            optimiser = _adam(network, schedule.rate / 10, schedule)
        network.train()
        optimiser.zero_grad(set_to_none=True)
        logits = network(x, operator)[labelled]
        loss = -(weight * (targets * torch.log_softmax(logits, dim=1)).sum(dim=1)).sum()
        loss.backward()
        optimiser.step()
        if validation is not None and len(validation) and (epoch % EVERY == EVERY - 1 or epoch == schedule.epochs - 1):
            right = int((Fitted(network, device).predict(validation) == validation.y).sum())
            if right > best:
                best, kept = right, copy.deepcopy(network.state_dict())
    if not bool(torch.isfinite(loss)):
        raise JobError("diverged", "The loss of the network is not a number.")
    if best >= 0:
        network.load_state_dict(kept)
    return Fitted(network.eval(), device)


def _adam(network: nn.Module, rate: float, schedule: Schedule) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=rate, weight_decay=schedule.weight_decay)


@contextmanager
def seeded(seed: int, device: str) -> Generator[None]:
    """torch draws from this seed within, and goes on as before after it."""
    with torch.random.fork_rng(devices=[] if device == "cpu" else [torch.device(device)]):
        torch.manual_seed(seed)
        yield
