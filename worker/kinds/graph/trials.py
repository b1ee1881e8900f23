"""Training a network as a learner does: what is given beside the training graph, and how its settings are read.

Two protocols, never in one table: `gc4nc` trains every network as the benchmark GC4NC does (hidden 256, no dropout,
Adam 0.01, weight decay 5e-4, 300 epochs, the best epoch on validation); `tuned` tries dropout and weight decay on
validation for every training set anew. A linear model of few rows in unequal classes collapses under weight decay, so
SGC searches it, and its step size, under both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from torch import nn

from worker.contract.context import Context
from worker.contract.learner import Settings
from worker.kinds.graph.held import Held
from worker.kinds.graph.networks.fitting import Fitted, Schedule, fit, seeded
from worker.kinds.graph.training_graph import TrainingGraph

ProtocolName = Literal["gc4nc", "tuned"]
GC4NC: Settings = {"dropout": 0.0, "weight_decay": 5e-4}
TUNED: tuple[Settings, ...] = tuple(
    {"dropout": dropout, "weight_decay": decay} for dropout, decay in product((0.0, 0.5), (5e-4, 0.0))
)
EPOCHS = 300


@dataclass(frozen=True)
class Bench:
    """What learners are given beside a training graph: the validation nodes, and the protocol."""

    validation: Held | None
    protocol: ProtocolName = "gc4nc"
    epochs: int = EPOCHS


Build = Callable[[int, int, Settings], nn.Module]
"""`(features, classes, settings)` -> a network with fresh parameters."""


@dataclass(frozen=True)
class Trial:
    """Trainings of one sort of network on one graph."""

    graph: TrainingGraph
    build: Build
    bench: Bench
    seed: int

    def fit(self, settings: Settings, ctx: Context) -> Fitted:
        """A network trained at these settings."""
        with seeded(self.seed, ctx.device):
            network = self.build(int(self.graph.x.shape[1]), self.graph.n_classes, settings)
            schedule = Schedule(self.bench.epochs, float(settings.get("rate", 0.01)), float(settings["weight_decay"]))
            return fit(network, self.graph, schedule, self.bench.validation, ctx)


@dataclass(frozen=True)
class Constant:
    """A model that predicts one class everywhere."""

    chosen: int

    def predict(self, held: Held) -> np.ndarray:
        """The class, int64 (m,)."""
        return np.full(len(held), self.chosen, dtype=np.int64)
