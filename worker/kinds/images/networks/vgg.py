"""VGG-11 (arXiv:1409.1556, configuration A) with a linear head, as used for images of 32 pixels.

Pools stop where a side would fall below 2 pixels.
"""

from __future__ import annotations

from torch import nn

from worker.kinds.images.networks.layers import Network, Norm, can_halve, halved, norm_layer

_STAGES = ((1,), (2,), (4, 4), (8, 8), (8, 8))  # channels of each convolution, over the first one's


def vgg11(channels: int, size: tuple[int, int], classes: int, *, width: int = 64, norm: Norm = "instance") -> Network:
    """VGG-11 whose first convolution has `width` channels."""
    layers: list[nn.Module] = []
    now, inputs = size, channels
    for stage in _STAGES:
        for factor in stage:
            layers += [nn.Conv2d(inputs, factor * width, 3, padding=1), *norm_layer(norm, factor * width), nn.ReLU()]
            inputs = factor * width
        if can_halve(now):
            layers.append(nn.MaxPool2d(2))
            now = halved(now)
    return Network(nn.Sequential(*layers), channels, size, classes)
