"""Small networks trained briefly on all training images, and what they say of each of them.

EL2N and GraNd: "Deep Learning on a Data Diet" (arXiv:2107.07075, section 2); forgetting: arXiv:1812.05159, section 3.
Each network is a part of the work with what it said as resume point. It departs from the published code in the network
(a small ConvNet, not a ResNet-18) and, for GraNd, in taking the gradient of the last layer alone, whose norm is exact:
|p - onehot(y)| sqrt(|h|^2 + 1) with features h and a bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from worker.contract.context import Context
from worker.contract.method import Cost, Term
from worker.kinds.images.budget import SizeParams
from worker.kinds.images.dataset import Images
from worker.kinds.images.fitting import Recipe, blocks, train
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.networks import build

Preset = Literal["quick", "standard", "paper"]
_AHEAD = 512


@dataclass(frozen=True)
class Effort:
    """`networks` of a `width`, each trained for so many `epochs`."""

    networks: int
    epochs: int
    width: int


EFFORTS: dict[str, Effort] = {
    "quick": Effort(2, 4, 16),
    "standard": Effort(5, 10, 32),
    "paper": Effort(10, 20, 128),
}

COST = Cost(
    seconds=(
        Term(2.0),
        Term(4e-6, {"images_train": 1, "values": 1}, {"params.preset": "quick"}),
        Term(1e-4, {"images_train": 1, "values": 1}, {"params.preset": "standard"}),
        Term(6e-3, {"images_train": 1, "values": 1}, {"params.preset": "paper"}),
    ),
    memory_mb=(Term(700.0), Term(1e-4, {"images_train": 1, "classes": 1})),
)
"""What training the networks takes on an ordinary core."""


class ProxyParams(SizeParams):
    """What methods take that train small networks first."""

    preset: Preset = Field(
        "quick",
        description="How much is spent on the networks that images are judged by: quick (2 of width 16, 4 epochs), "
        "standard (5 of 32, 10), paper (10 of 128, 20).",
    )


@dataclass(frozen=True)
class Said:
    """What one network said of n images: `probability` float32 (n, C) at the end, `reach` float32 (n,), the length of
    its features, and `forgotten` int64 (n,): how often it got an image wrong that it had right before; -1 where it
    never was right."""

    probability: np.ndarray
    reach: np.ndarray
    forgotten: np.ndarray


def said_by_proxies(data: Images, params: ProxyParams, ctx: Context) -> list[Said]:
    """What each network says of the training images."""
    effort = EFFORTS[params.preset]
    found: list[Said] = []
    for number in range(effort.networks):
        with ctx.part(f"network {number}", number, effort.networks) as part:
            found.append(_said(data.train, effort, part))
    return found


def el2n(said: list[Said], y: np.ndarray) -> np.ndarray:
    """Mean length (n,) of the error vector p - onehot(y)."""
    return np.mean([np.linalg.norm(errors(one, y), axis=1) for one in said], axis=0)


def grand(said: list[Said], y: np.ndarray) -> np.ndarray:
    """Mean length (n,) of the gradient of the last layer."""
    return np.mean([np.linalg.norm(errors(one, y), axis=1) * np.sqrt(one.reach**2 + 1) for one in said], axis=0)


def forgetting(said: list[Said]) -> np.ndarray:
    """Mean number (n,) of times that an image was forgotten; infinite where no network ever learned it."""
    counts = np.array([one.forgotten for one in said], np.float64)
    mean = np.where(counts < 0, np.nan_to_num(counts.max(), nan=0.0) + 1, counts).mean(axis=0)
    return np.where((counts < 0).all(axis=0), np.inf, mean)


def errors(said: Said, y: np.ndarray) -> np.ndarray:
    """p - onehot(y), float32 (n, C): the gradient of the loss by the logits."""
    found = said.probability.copy()
    found[np.arange(len(y)), y] -= 1
    return found


def _said(images: ImageSet, effort: Effort, ctx: Context) -> Said:
    if (point := ctx.restore()) is not None and point.done:
        return Said(point.arrays["probability"], point.arrays["reach"], point.arrays["forgotten"])
    channels, height, width = images.shape
    network = build(
        "convnet", channels, (height, width), images.classes, seed=ctx.seed, device=ctx.device, width=effort.width
    )
    right = np.zeros(len(images), bool)
    forgotten = np.full(len(images), -1, np.int64)
    y = torch.from_numpy(images.y)

    def watch(numbers: Tensor, logits: Tensor) -> None:
        now = (logits.argmax(dim=1).cpu() == y[numbers]).numpy()
        rows = numbers.numpy()
        forgotten[rows[now & (forgotten[rows] < 0)]] = 0
        forgotten[rows[right[rows] & ~now]] += 1
        right[rows] = now

    recipe = Recipe(steps=1, epochs=effort.epochs, rate=0.05, batch=128 >> ctx.degrade)
    train(network, images, recipe, ctx, watch=watch)
    probability = np.empty((len(images), images.classes), np.float32)
    reach = np.empty(len(images), np.float32)
    with torch.no_grad():
        for numbers in blocks(len(images), _AHEAD):
            ctx.progress(int(numbers[0]), len(images), phase="ask")
            features = network.features(torch.from_numpy(images.batch(numbers)).to(ctx.device))
            probability[numbers] = torch.softmax(network.head(features), dim=1).float().cpu().numpy()
            reach[numbers] = torch.linalg.vector_norm(features, dim=1).float().cpu().numpy()
    ctx.finish({"probability": probability, "reach": reach, "forgotten": forgotten}, {})
    return Said(probability, reach, forgotten)
