"""Kernel inducing points (KIP, arXiv:2011.00050): images from which a ridge regression predicts the real ones.

The kernel is that of an infinitely wide perceptron, tangent (NTK) or at birth (NNGP), in closed form
(`worker.numerics.ntk`); images are flattened. Adam on the images, and on the labels where they are learned, with a step
size that falls to 0 as a cosine (published: constant), which is worth a point or so at one image a class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from worker.evidence.distilling import Tick
from worker.kinds.images.distillation.candidate import Candidate
from worker.kinds.images.distillation.optimisers import Optimiser
from worker.kinds.images.distillation.real import RealImages
from worker.kinds.images.distillation.ridge import centred, predict, squared_loss
from worker.kinds.images.distillation.synthetic import Synthetic
from worker.numerics.ntk import nngp, ntk
from worker.numerics.seeds import mix

Kernel = Literal["ntk", "nngp"]
RIDGE = 1e-6


@dataclass(frozen=True)
class KernelSettings:
    """Which kernel, of how many hidden layers, its ridge, and the real images of a step."""

    kernel: Kernel = "ntk"
    depth: int = 1
    ridge: float = RIDGE
    batch_real: int = 1000


def scores(settings: KernelSettings, support: Tensor, labels: Tensor, x: Tensor) -> Tensor:
    """What the regression on images (S, ...) with labels (S, C) says of images x (b, ...): float64 (b, C)."""
    kernel = ntk if settings.kernel == "ntk" else nngp
    s, rows = support.flatten(1).double(), x.flatten(1).double()
    return predict(kernel(rows, s, depth=settings.depth), kernel(s, depth=settings.depth), labels, settings.ridge)


class InducingPoints:
    """The problem for `learn`, of so many `steps` in all."""

    def __init__(
        self, synthetic: Synthetic, real: RealImages, settings: KernelSettings, optimiser: Optimiser, steps: int,
        seed: int,
    ) -> None:  # fmt: skip
        self.synthetic, self.real, self.settings = synthetic, real, settings
        self.optimiser, self.steps, self.seed = optimiser, steps, seed

    def tensors(self) -> dict[str, Tensor]:
        """Images, labels, and their optimiser."""
        return self.optimiser.tensors("images")

    def labels(self) -> Tensor:
        """Learned labels, or the classes, (S, C)."""
        if self.synthetic.targets is None:
            return centred(self.synthetic.classes(), self.real.classes)
        return self.synthetic.labels()

    def candidate(self) -> Candidate:
        """Images and learned labels as they now stand."""
        targets = self.synthetic.targets
        return self.synthetic.candidate(None if targets is None else targets.detach().float())

    def step(self, number: int, tick: Tick) -> float:
        """One step on a batch of real images."""
        tick()
        x, y = self.real.draw(self.settings.batch_real, mix(self.seed, number))
        loss = squared_loss(scores(self.settings, self.synthetic.images(), self.labels(), x), y)
        share = (1 + math.cos(math.pi * (number - 1) / self.steps)) / 2
        self.optimiser.step(self.synthetic.gradients(loss), share)
        return float(loss.detach())
