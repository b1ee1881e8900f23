"""A perceptron of three hidden layers of 128, the field's network without convolutions."""

from __future__ import annotations

import math

from torch import nn

from worker.kinds.images.networks.layers import Network


def mlp(channels: int, size: tuple[int, int], classes: int, *, width: int = 128, depth: int = 3) -> Network:
    """Perceptron of `depth` hidden layers of `width` units."""
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = channels * math.prod(size)
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return Network(nn.Sequential(*layers), channels, size, classes)
