"""The floor: the class whose mean image is nearest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.images.fitting import blocks
from worker.kinds.images.image_set import ImageSet

_AHEAD = 2048


@dataclass(frozen=True)
class NearestMean:
    """`means`: float32 (C, d), infinite for classes without an image; `variance`: of a number within its class."""

    means: np.ndarray
    variance: float
    seen: ImageSet

    def fit(self, settings: Settings, ctx: Context) -> NearestMean:
        """Itself."""
        return self

    def probabilities(self, asked: ImageSet) -> np.ndarray:
        """Of classes as Gaussians of one variance, alike in all directions."""
        images, found = asked.under(self.seen.encoding), []
        there = np.isfinite(self.means[:, 0])
        means = np.where(there[:, None], self.means, 0)
        for numbers in blocks(len(images), _AHEAD):
            x = images.batch(numbers).reshape(len(numbers), -1)
            distance = np.einsum("cd,cd->c", means, means) - 2 * x @ means.T
            score = np.where(there, -distance / (2 * self.variance), -np.inf)
            powers = np.exp(score - score.max(axis=1, keepdims=True))
            found.append(powers / powers.sum(axis=1, keepdims=True))
        return np.concatenate(found)


@learner(kind="images", name="nearest-mean", label="nearest class mean", floor=True)
def nearest_mean(images: ImageSet, params: Any, ctx: Context) -> NearestMean:
    """The mean of the images of each class, images counting by their weights."""
    d = int(np.prod(images.shape))
    total, mass = np.zeros((images.classes, d)), np.zeros(images.classes)
    squares = 0.0
    weights = np.ones(len(images)) if images.weights is None else images.weights.astype(np.float64)
    for numbers in blocks(len(images), _AHEAD):
        ctx.progress(int(numbers[0]), len(images))
        x = images.batch(numbers).reshape(len(numbers), -1).astype(np.float64)
        np.add.at(total, images.y[numbers], weights[numbers, None] * x)
        np.add.at(mass, images.y[numbers], weights[numbers])
        squares += float(weights[numbers] @ np.einsum("nd,nd->n", x, x))
    there = mass > 0
    means = np.divide(total, mass[:, None], out=np.full_like(total, np.inf), where=there[:, None])
    within = squares - float((mass[there] * np.einsum("cd,cd->c", means[there], means[there])).sum())
    variance = max(within / max(d * mass.sum(), 1e-12), 1e-3)
    return NearestMean(means.astype(np.float32), variance, images)
