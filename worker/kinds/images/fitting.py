"""Training one network on one set of images, and asking it about others: the recipe of every learner and teacher.

The evaluation of Dataset Condensation (arXiv:2006.05929, and its code): SGD with momentum 0.9 and weight decay 5e-4,
batches of 256, a tenth of the step from half-time on; with siamese augmentation (arXiv:2102.08259) drawn anew for every
image where a recipe has one. It departs in how long: the published 300 (1,000 with augmentation) epochs suit sets of
a few images; here a set is trained for a number of steps, and for some epochs at least, so that full data and summaries
are trained by one rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.images.augmentation import augment
from worker.kinds.images.image_set import ImageSet, as_probabilities
from worker.kinds.images.networks import Network

FEATURES = 512  # of a ConvNet of width 32, for which the published step size is right
_AHEAD = 512  # images that a network is asked about at once
_ON_DEVICE = 1_000_000_000  # bytes of images that may lie on the device whole


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. `steps`: at least so many; `epochs`: at least so many of these."""

    steps: int = 300
    epochs: int = 10
    rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch: int = 256
    augmentation: str = ""

    def epochs_of(self, images: int) -> int:
        """Epochs that a set of so many images is trained for."""
        return max(self.epochs, math.ceil(self.steps / math.ceil(images / self.batch)))


@dataclass(frozen=True)
class Classifier:
    """A trained network and how it sees pixels."""

    network: nn.Module
    seen: ImageSet
    device: str

    @torch.no_grad()
    def logits(self, asked: ImageSet) -> np.ndarray:
        """float32 (n, C) for images as stored, under the encoding that the network was trained with."""
        self.network.eval()
        images = asked.under(self.seen.encoding)
        found = [
            self.network(torch.from_numpy(images.batch(numbers)).to(self.device)).float().cpu().numpy()
            for numbers in blocks(len(images), _AHEAD)
        ]
        return np.concatenate(found) if found else np.zeros((0, asked.classes), np.float32)

    def probabilities(self, asked: ImageSet) -> np.ndarray:
        """float32 (n, C) for images as stored."""
        return as_probabilities(self.logits(asked), self.seen.loss)


def blocks(count: int, size: int) -> list[np.ndarray]:
    """The numbers below `count` in blocks."""
    return [np.arange(start, min(start + size, count)) for start in range(0, count, size)]


def train(
    network: Network,
    images: ImageSet,
    recipe: Recipe,
    ctx: Context,
    *,
    watch: Callable[[Tensor, Tensor], None] | None = None,
) -> Classifier:
    """Train a network in place. `watch(numbers, logits)` is told of every batch what the network said before the step.

    A squared error bends with the squared length of the features: a network with more than `FEATURES` of them learns
    it at a step size as much smaller. Random numbers come from `ctx.seed`. Raises `JobError` `diverged` when the loss
    is not a number.
    """
    device, generator = ctx.device, torch.Generator().manual_seed(ctx.seed % 2**63)
    fetch = _fetcher(images, device)
    targets = torch.from_numpy(images.targets()).to(device)
    weights = torch.from_numpy(np.ones(len(images), np.float32) if images.weights is None else images.weights)
    weights = (weights / weights.mean()).to(device)
    rate = recipe.rate if images.loss == "cross-entropy" else recipe.rate * min(1.0, FEATURES / network.width)
    optimiser = torch.optim.SGD(
        network.parameters(), lr=rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    epochs, loss = recipe.epochs_of(len(images)), torch.zeros(())
    per_epoch = math.ceil(len(images) / recipe.batch)
    for epoch in range(epochs):
        if epoch == epochs // 2 + 1:
            optimiser.param_groups[0]["lr"] = rate / 10
        network.train()
        order = torch.randperm(len(images), generator=generator)
        for step, numbers in enumerate(order.split(recipe.batch)):
            ctx.progress(epoch * per_epoch + step, epochs * per_epoch, phase="train")
            x = fetch(numbers)
            x = augment(x, recipe.augmentation, generator) if recipe.augmentation else x
            at = numbers.to(device)
            logits = network(x)
            loss = (weights[at] * _losses(logits, targets[at], images)).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if watch is not None:
                watch(numbers, logits.detach())
    if not bool(torch.isfinite(loss)):
        raise JobError("diverged", "The loss of the network is not a number.")
    return Classifier(network.eval(), images, device)


def _losses(logits: Tensor, targets: Tensor, images: ImageSet) -> Tensor:
    """The loss (b,) of each image."""
    if images.loss in ("mse", "logits"):
        return (logits - targets).square().sum(dim=1)
    return -(targets * functional.log_softmax(logits, dim=1)).sum(dim=1)


def _fetcher(images: ImageSet, device: str) -> Callable[[Tensor], Tensor]:
    """Images by their numbers as a tensor: encoded once where they are few, a batch at a time where they are many."""
    if 4 * len(images) * math.prod(images.shape) <= _ON_DEVICE:
        whole = torch.from_numpy(images.all()).to(device)
        return lambda numbers: whole[numbers.to(device)]
    return lambda numbers: torch.from_numpy(images.batch(numbers.numpy())).to(device)
