"""What the networks are made of: a body that gives features, a linear head, and norm, activation and pool by name."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from worker.kinds.images.networks.average_pool import AveragePool
from worker.kinds.images.networks.instance_norm import InstanceNorm

Norm = Literal["instance", "batch", "group", "none"]
Activation = Literal["relu", "sigmoid", "leaky"]
Pool = Literal["avg", "max", "none"]

_ACTIVATIONS = {"relu": lambda: nn.ReLU(inplace=True), "sigmoid": nn.Sigmoid, "leaky": lambda: nn.LeakyReLU(0.01)}
_POOLS = {"avg": AveragePool, "max": lambda: nn.MaxPool2d(2)}


class Network(nn.Module):
    """A body and a linear head: `features(x)` (n, F) and `forward(x)`, logits (n, C), of images x (n, c, h, w)."""

    def __init__(self, body: nn.Module, channels: int, size: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.body = body
        body.eval()  # a single image has no batch statistics
        with torch.no_grad():
            width = body(torch.zeros(1, channels, *size)).flatten(1).shape[1]
        body.train()
        self.head = nn.Linear(width, classes)

    @property
    def width(self) -> int:
        """Numbers in the features of one image."""
        return self.head.in_features

    def features(self, x: Tensor) -> Tensor:
        """What the head sees, (n, F): the flattened last block."""
        return self.body(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, C)."""
        return self.head(self.features(x))


def norm_layer(norm: Norm, channels: int) -> list[nn.Module]:
    """The layer of that name, or nothing. "instance" is a group norm with a group for each channel, as published."""
    if norm == "instance":
        return [InstanceNorm(channels)]
    if norm == "group":
        return [nn.GroupNorm(math.gcd(channels, 4), channels)]
    return [nn.BatchNorm2d(channels)] if norm == "batch" else []


def activation_layer(name: Activation) -> nn.Module:
    """The activation of that name."""
    return _ACTIVATIONS[name]()


def pool_layer(pool: Pool) -> list[nn.Module]:
    """Halving of both sides, or nothing."""
    return [] if pool == "none" else [_POOLS[pool]()]


def can_halve(size: tuple[int, int]) -> bool:
    """Whether both sides stay at least 2 when halved; less leaves nothing that a norm per channel could compare."""
    return min(size) >= 4


def halved(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width after a pool."""
    return size[0] // 2, size[1] // 2
