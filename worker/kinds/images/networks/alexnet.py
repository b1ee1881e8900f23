"""AlexNet in the form that dataset condensation uses for small images (arXiv:2006.05929, appendix).

Five convolutions, three max pools, no dropout, a linear head; pools stop where a side would fall below 2 pixels.
"""

from __future__ import annotations

from torch import nn

from worker.kinds.images.networks.layers import Network, can_halve, halved

_CONVOLUTIONS = ((1.0, 5, True), (1.5, 5, True), (2.0, 3, False), (1.5, 3, False), (1.5, 3, True))


def alexnet(channels: int, size: tuple[int, int], classes: int, *, width: int = 128) -> Network:
    """AlexNet whose first convolution has `width` channels, the others in proportion (128: 128, 192, 256, 192, 192)."""
    layers: list[nn.Module] = []
    now, inputs = size, channels
    for factor, kernel, pools in _CONVOLUTIONS:
        outputs = round(width * factor)
        layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU()]
        inputs = outputs
        if pools and can_halve(now):
            layers.append(nn.MaxPool2d(2))
            now = halved(now)
    return Network(nn.Sequential(*layers), channels, size, classes)
