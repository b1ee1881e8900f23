"""LeNet: two convolutions 5x5 with max pools, two hidden layers (LeCun et al. 1998, with ReLU).

Both convolutions are padded, so that it takes images of 8 pixels, too; pools stop where a side would vanish.
"""

from __future__ import annotations

from torch import nn

from worker.kinds.images.networks.layers import Network, halved


def lenet(channels: int, size: tuple[int, int], classes: int, *, width: int = 6) -> Network:
    """LeNet with `width` and 16/6 `width` channels, then 20 and 14 times `width` units."""
    second = round(width * 16 / 6)
    layers: list[nn.Module] = []
    now, inputs = size, channels
    for outputs in (width, second):
        layers += [nn.Conv2d(inputs, outputs, 5, padding=2), nn.ReLU()]
        inputs = outputs
        if min(now) >= 2:
            layers.append(nn.MaxPool2d(2))
            now = halved(now)
    flat = second * now[0] * now[1]
    hidden = [nn.Linear(flat, 20 * width), nn.ReLU(), nn.Linear(20 * width, 14 * width), nn.ReLU()]
    return Network(nn.Sequential(*layers, nn.Flatten(), *hidden), channels, size, classes)
