"""Majority: the label that is most frequent among the training points. The floor that every learner has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.points.dataset import Points


@dataclass(frozen=True)
class Majority:
    """Always predicts the label of number `most`."""

    most: int

    def fit(self, settings: Settings, ctx: Context) -> Majority:
        """There is nothing to tune."""
        return self

    def predict(self, at: np.ndarray) -> np.ndarray:
        """Numbers of labels (n,) for points (n, 2)."""
        return np.full(len(at), self.most)


@learner(kind="points", name="majority", label="majority", floor=True, note="always the most frequent label")
def majority(points: Points, params: Any, ctx: Context) -> Majority:
    """The most frequent label."""
    return Majority(int(np.bincount(points.label).argmax()))
