"""LeNet: two convolutions 5x5 with max pools, two hidden layers (LeCun et al. 1998, with ReLU).

Both convolutions are padded, so that it takes images of 8 pixels, too.
"""

from __future__ import annotations

from torch import nn

from worker.kinds.images.networks.layers import Network


def lenet(channels: int, size: tuple[int, int], classes: int, *, width: int = 6) -> Network:
    """LeNet with `width` and 16/6 `width` channels, then 20 and 14 times `width` units."""
    second = round(width * 16 / 6)
    convolutions = [
        nn.Conv2d(channels, width, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, second, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    ]  # fmt: skip
    flat = second * (size[0] // 4) * (size[1] // 4)
    hidden = [nn.Linear(flat, 20 * width), nn.ReLU(), nn.Linear(20 * width, 14 * width), nn.ReLU()]
    return Network(nn.Sequential(*convolutions, *hidden), channels, size, classes)
