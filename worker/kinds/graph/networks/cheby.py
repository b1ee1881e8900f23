"""Cheby (arXiv:1606.09375): two layers of Chebyshev polynomials of the scaled Laplacian, here L - I = -Â.

Polynomials of order 0 and 1. With self-loops in Â a graph without edges has Â = I, and both terms learn something.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worker.kinds.graph.networks.products import Factor, Sparse, spread


class Cheby(nn.Module):
    """`forward(x, operator)`: logits (n, C)."""

    def __init__(self, features: int, classes: int, hidden: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        sizes = {"first": (features, hidden), "second": (hidden, classes)}
        for name, (before, after) in sizes.items():
            for order in range(2):
                weight = nn.Parameter(torch.empty(before, after))
                nn.init.xavier_uniform_(weight)
                self.register_parameter(f"{name}_{order}", weight)
            self.register_parameter(f"{name}_bias", nn.Parameter(torch.zeros(after)))

    def _layer(self, h: Factor, operator: Sparse | Tensor | None, name: str) -> Tensor:
        here, there = getattr(self, f"{name}_0"), getattr(self, f"{name}_1")
        return h @ here - spread(operator, h @ there) + getattr(self, f"{name}_bias")

    def forward(self, x: Factor, operator: Sparse | Tensor | None) -> Tensor:
        """Logits (n, C)."""
        h = torch.relu(self._layer(x, operator, "first"))
        h = nn.functional.dropout(h, self.dropout, self.training)
        return self._layer(h, operator, "second")
