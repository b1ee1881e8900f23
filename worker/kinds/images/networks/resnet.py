"""ResNet-18 (arXiv:1512.03385) with the stem for small images: conv 3x3 of stride 1, no max pool.

Images of more than 64 pixels get the usual stem, 7x7 of stride 2 and a pool. Norm per channel unless the training set
is large enough for batch statistics. A stage keeps its side where halving would leave less than 2 pixels.
"""

from __future__ import annotations

from torch import Tensor, nn

from worker.kinds.images.networks.layers import Network, Norm, can_halve, halved, norm_layer


class _Block(nn.Module):
    """relu(F(x) + x) of two convolutions; the shortcut is a convolution 1x1 where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        bias = norm == "none"
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=bias), *norm_layer(norm, outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=bias), *norm_layer(norm, outputs),
        )  # fmt: skip
        same = stride == 1 and inputs == outputs
        shortcut = [nn.Conv2d(inputs, outputs, 1, stride, bias=bias), *norm_layer(norm, outputs)]
        self.shortcut = nn.Identity() if same else nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.residual(x) + self.shortcut(x))


def resnet18(
    channels: int, size: tuple[int, int], classes: int, *, width: int = 64, norm: Norm = "instance"
) -> Network:
    """ResNet-18 whose first stage has `width` channels."""
    bias = norm == "none"
    if min(size) > 64:
        stem = [nn.Conv2d(channels, width, 7, 2, 3, bias=bias), *norm_layer(norm, width), nn.ReLU(),
                nn.MaxPool2d(3, 2, 1)]  # fmt: skip
        now = halved(halved(size))
    else:
        stem = [nn.Conv2d(channels, width, 3, 1, 1, bias=bias), *norm_layer(norm, width), nn.ReLU()]
        now = size
    blocks: list[nn.Module] = []
    inputs = width
    for stage in range(4):
        outputs = width * 2**stage
        stride = 2 if stage and can_halve(now) else 1
        now = halved(now) if stride == 2 else now
        blocks += [_Block(inputs, outputs, stride, norm), _Block(outputs, outputs, 1, norm)]
        inputs = outputs
    return Network(nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1)), channels, size, classes)
