"""GraphSAGE (arXiv:1706.02216) with the mean of the neighbourhood, the node itself included.

H' = H W_own + M H W_near with M = D^-1 (A + I), which follows from Â by its diagonal 1/D. Full batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worker.kinds.graph.networks.products import Factor, Sparse


class SAGE(nn.Module):
    """Two layers. `forward(x, operator)`: logits (n, C)."""

    def __init__(self, features: int, classes: int, hidden: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.own = nn.ParameterList([_fresh(features, hidden), _fresh(hidden, classes)])
        self.near = nn.ParameterList([_fresh(features, hidden), _fresh(hidden, classes)])
        self.bias = nn.ParameterList([nn.Parameter(torch.zeros(hidden)), nn.Parameter(torch.zeros(classes))])

    def _layer(self, h: Factor, operator: Sparse | None, layer: int) -> Tensor:
        return h @ self.own[layer] + mean(operator, h @ self.near[layer]) + self.bias[layer]

    def forward(self, x: Factor, operator: Sparse | None) -> Tensor:
        """Logits (n, C)."""
        h = torch.relu(self._layer(x, operator, 0))
        return self._layer(nn.functional.dropout(h, self.dropout, self.training), operator, 1)


def mean(operator: Sparse | None, h: Tensor) -> Tensor:
    """D^-1 (A + I) h."""
    if operator is None:
        return h
    root = operator.diagonal.clamp(min=1e-12).rsqrt()[:, None]  # of D: Â_ii is 1/D
    return (operator @ (h * root)) / root


def _fresh(before: int, after: int) -> nn.Parameter:
    weight = nn.Parameter(torch.empty(before, after))
    nn.init.xavier_uniform_(weight)
    return weight
