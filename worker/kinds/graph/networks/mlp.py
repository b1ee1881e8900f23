"""A perceptron of two layers that knows no edges."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worker.kinds.graph.networks.products import Factor, Sparse


class MLP(nn.Module):
    """relu(X W1 + b1) W2 + b2; `forward(x, operator)` takes the operator and leaves it unused."""

    def __init__(self, features: int, classes: int, hidden: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.first = nn.Parameter(torch.empty(features, hidden))
        self.first_bias = nn.Parameter(torch.zeros(hidden))
        self.second = nn.Linear(hidden, classes)
        nn.init.xavier_uniform_(self.first)
        nn.init.xavier_uniform_(self.second.weight)

    def forward(self, x: Factor, operator: Sparse | Tensor | None = None) -> Tensor:
        """Logits (n, C)."""
        h = torch.relu(x @ self.first + self.first_bias)
        return self.second(nn.functional.dropout(h, self.dropout, self.training))
