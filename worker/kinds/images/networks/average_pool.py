"""Average pooling of 2 x 2 pixels as one product of matrices, where torch's own is slow: on CPUs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AveragePool(nn.AvgPool2d):
    """Images (n, c, h, w) to means of squares of four pixels (n, c, h // 2, w // 2); an odd last row or column is left
    out."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, input: Tensor) -> Tensor:
        """The means. Two rows of pixels lie beside each other in memory: they are a row of a matrix (n c h/2, 2 w)."""
        if input.device.type != "cpu":
            return super().forward(input)
        n, c, high, wide = (*input.shape[:2], *(side // 2 for side in input.shape[2:]))
        pairs = input[:, :, : 2 * high, : 2 * wide].reshape(n * c * high, 4 * wide)
        column = torch.arange(4 * wide) % (2 * wide) // 2
        quarters = torch.nn.functional.one_hot(column, wide).to(input) / 4
        return (pairs @ quarters).view(n, c, high, wide)
