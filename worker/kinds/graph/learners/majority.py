"""The most frequent class for every node: the floor of floors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.graph.training_graph import TrainingGraph
from worker.kinds.graph.trials import Constant


@dataclass(frozen=True)
class Majority:
    """Counts classes of labelled nodes."""

    graph: TrainingGraph

    def fit(self, settings: Settings, ctx: Context) -> Constant:
        """The most frequent class by weight, the first of equal ones."""
        targets = self.graph.targets()
        weight = np.ones(len(targets), np.float32) if self.graph.weight is None else self.graph.weight
        return Constant(int((weight[:, None] * targets).sum(axis=0).argmax()))


@learner(kind="graph", name="majority", label="majority class", floor=True, note="the same class everywhere")
def majority(graph: TrainingGraph, params: Any, ctx: Context) -> Majority:
    """The most frequent class of a training graph."""
    return Majority(graph)
