"""Nearest mean: a point gets the label whose training points have the nearest mean."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.points.dataset import Points


@dataclass(frozen=True)
class Means:
    """The mean of every label's training points: `numbers` (k,) of the labels, `means` (k, 2)."""

    numbers: np.ndarray
    means: np.ndarray

    def fit(self, settings: Settings, ctx: Context) -> NearestMean:
        """Nothing is left to train; the settings say how distance is measured."""
        return NearestMean(self.numbers, self.means, float(settings["power"]))


@dataclass(frozen=True)
class NearestMean:
    """Predicts by the distance (sum of |difference|^power) to each of the `means` (k, 2)."""

    numbers: np.ndarray
    means: np.ndarray
    power: float

    def predict(self, at: np.ndarray) -> np.ndarray:
        """Numbers of labels (n,) for points (n, 2)."""
        far = (np.abs(at[:, None, :] - self.means[None]) ** self.power).sum(axis=2)
        return self.numbers[far.argmin(axis=1)]


@learner(kind="points", name="nearest-mean", label="nearest mean", settings=({"power": 1}, {"power": 2}))
def nearest_mean(points: Points, params: Any, ctx: Context) -> Means:
    """The means of the points of each label."""
    ctx.log(f"nearest mean learns from {len(points)} points")
    time.sleep(params.pause_s)
    numbers = np.unique(points.label)
    return Means(numbers, np.array([points.at[points.label == number].mean(axis=0) for number in numbers]))
