"""ConvNet-D, the network of the field: D blocks of conv 3x3, norm, activation, average pool; then a linear head.

D is 3 for 28 to 32 pixels, 4 for 64, 5 for 128, 6 for 256 (Gidaris and Komodakis 2018; arXiv:2006.05929, section 4),
so that 4x4 or so is left. Grey images of 28 pixels are padded to 32 by the first convolution.
"""

from __future__ import annotations

import math

from torch import nn

from worker.kinds.images.networks.layers import (
    Activation,
    Network,
    Norm,
    Pool,
    activation_layer,
    can_halve,
    halved,
    norm_layer,
    pool_layer,
)

WIDTH = 128


def usual_depth(size: tuple[int, int]) -> int:
    """Blocks for images of this height and width: 3 for 28 to 32 pixels, one more for each doubling."""
    return min(6, max(1, math.ceil(math.log2(min(size))) - 2))


def convnet(
    channels: int,
    size: tuple[int, int],
    classes: int,
    *,
    width: int = WIDTH,
    depth: int | None = None,
    norm: Norm = "instance",
    activation: Activation = "relu",
    pool: Pool = "avg",
) -> Network:
    """ConvNet of `depth` blocks of `width` channels for images (channels, *size); `depth` None: `usual_depth`."""
    layers: list[nn.Module] = []
    now, inputs = size, channels
    for block in range(usual_depth(size) if depth is None else depth):
        padding = 3 if block == 0 and channels == 1 and size == (28, 28) else 1
        now = (now[0] + 2 * (padding - 1), now[1] + 2 * (padding - 1))
        layers += [nn.Conv2d(inputs, width, 3, padding=padding), *norm_layer(norm, width), activation_layer(activation)]
        if pool != "none" and can_halve(now):
            layers += pool_layer(pool)
            now = halved(now)
        inputs = width
    return Network(nn.Sequential(*layers), channels, size, classes)
