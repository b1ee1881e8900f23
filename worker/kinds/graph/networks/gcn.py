"""GCN: Â relu(Â X W1 + b1) W2 + b2 (arXiv:1609.02907, equation 9), biases after propagation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worker.kinds.graph.networks.products import Factor, Sparse, spread


class GCN(nn.Module):
    """Two layers. `forward(x, operator)`: logits (n, C)."""

    def __init__(self, features: int, classes: int, hidden: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.first = nn.Parameter(torch.empty(features, hidden))
        self.first_bias = nn.Parameter(torch.zeros(hidden))
        self.second = nn.Parameter(torch.empty(hidden, classes))
        self.second_bias = nn.Parameter(torch.zeros(classes))
        nn.init.xavier_uniform_(self.first)
        nn.init.xavier_uniform_(self.second)

    def hidden(self, x: Factor, operator: Sparse | Tensor | None) -> Tensor:
        """relu of the first layer, (n, hidden)."""
        return torch.relu(spread(operator, x @ self.first) + self.first_bias)

    def forward(self, x: Factor, operator: Sparse | Tensor | None) -> Tensor:
        """Logits (n, C). Â is applied after the weights of each layer, where columns are few."""
        h = nn.functional.dropout(self.hidden(x, operator), self.dropout, self.training)
        return spread(operator, h @ self.second) + self.second_bias
