"""SGC: Â^K X W + b (arXiv:1902.07153), a linear model of propagated features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worker.kinds.graph.networks.products import Factor, Sparse, spread


class SGC(nn.Module):
    """`forward(x, operator)`: logits (n, C), K products with C columns each."""

    def __init__(self, features: int, classes: int, hops: int = 2) -> None:
        super().__init__()
        self.hops = hops
        self.weight = nn.Parameter(torch.empty(features, classes))
        self.bias = nn.Parameter(torch.zeros(classes))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Factor, operator: Sparse | Tensor | None) -> Tensor:
        """Logits (n, C)."""
        h = x @ self.weight
        for _ in range(self.hops):
            h = spread(operator, h)
        return h + self.bias
