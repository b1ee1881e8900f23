"""What every learner of this kind returns, and the networks among them, all trained by one recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from worker.contract.context import Context
from worker.contract.learner import Settings
from worker.kinds.images.augmentation import COLOUR, DIGITS
from worker.kinds.images.fitting import Classifier, Recipe, train
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.networks import build

RATE, FAST = 0.01, 0.1
"""Step sizes that are tried: the published one, which in few steps leaves large sets under-trained, and a larger."""
RECIPES: tuple[Settings, ...] = tuple(
    {"augment": augment, "rate": rate} for rate in (RATE, FAST) for augment in ("no", "dsa")
)
"""What is tried for every set: without augmentation and with that of DSA, at both step sizes."""
_CPU_WIDTH, _GPU_WIDTH = 32, 128


class Predictor(Protocol):
    """A trained model."""

    def probabilities(self, asked: ImageSet) -> np.ndarray:
        """float (n, C) for images as stored."""
        ...


@dataclass(frozen=True)
class Training:
    """How long and how wide networks are trained, for all learners and sets alike. `width`: 0 stands for 128 channels
    on a GPU and 32 without. `flips`: whether a mirrored image is of the same class."""

    steps: int = 300
    epochs: int = 5
    width: int = 0
    flips: bool = True

    def width_on(self, device: str) -> int:
        """Channels of a convolution."""
        return self.width or (_CPU_WIDTH if device == "cpu" else _GPU_WIDTH)

    def recipe(self, settings: Settings, learned: float | None) -> Recipe:
        """The recipe at these settings; a step size that was `learned` with the images stands for the published one."""
        strategy = (COLOUR if self.flips else DIGITS) if settings["augment"] == "dsa" else ""
        rate = float(settings["rate"])
        if learned is not None and rate == RATE:
            rate = learned
        return Recipe(self.steps, self.epochs, rate, augmentation=strategy)


@dataclass(frozen=True)
class NetworkFit:
    """A network by its name on one set. `choices`: what `networks.build` takes beside."""

    name: str
    images: ImageSet
    training: Training
    seed: int
    choices: Mapping[str, Any]

    def fit(self, settings: Settings, ctx: Context) -> Classifier:
        """The network trained at these settings; each from the same start."""
        channels, height, width = self.images.shape
        with ctx.part("fit " + " ".join(map(str, settings.values())), seed=self.seed) as part:
            network = build(
                self.name, channels, (height, width), self.images.classes, seed=self.seed, device=ctx.device,
                **self.choices,
            )  # fmt: skip
            return train(network, self.images, self.training.recipe(settings, self.images.rate), part)


def network(name: str, images: ImageSet, params: Any, ctx: Context, **choices: Any) -> NetworkFit:
    """A learner that is a network; `params` has the `training` of the judge."""
    training: Training = params.training
    return NetworkFit(name, images, training, ctx.seed, choices)
