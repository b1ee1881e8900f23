"""GAT (arXiv:1710.10903): neighbours are weighed by attention; weights of edges are not read.

e_ij = LeakyReLU_0.2(a_own . W h_i + a_near . W h_j) over the neighbours j of i and i itself, softmax over j. Eight
heads of 8 features, then one head of C.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worker.kinds.graph.networks.products import Factor, Sparse

HEADS, WIDTH = 8, 8


class GAT(nn.Module):
    """Two layers. `forward(x, operator)`: logits (n, C)."""

    def __init__(self, features: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.first, self.second = Attention(features, HEADS, WIDTH), Attention(HEADS * WIDTH, 1, classes)

    def forward(self, x: Factor, operator: Sparse | None) -> Tensor:
        """Logits (n, C)."""
        h = torch.nn.functional.elu(self.first(x, operator))
        return self.second(nn.functional.dropout(h, self.dropout, self.training), operator)


class Attention(nn.Module):
    """A layer of attention: (n, features) -> (n, heads * width)."""

    def __init__(self, features: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.weight = nn.Parameter(torch.empty(features, heads * width))
        self.own, self.near = nn.Parameter(torch.empty(heads, width)), nn.Parameter(torch.empty(heads, width))
        self.bias = nn.Parameter(torch.zeros(heads * width))
        for one in (self.weight, self.own, self.near):
            nn.init.xavier_uniform_(one)

    def forward(self, x: Factor, operator: Sparse | None) -> Tensor:
        """Attended features; a node without edges attends to itself."""
        h = x @ self.weight
        if operator is None:
            return h + self.bias
        rows, columns = operator.entries
        n, by_head = len(h), h.view(-1, self.heads, self.width)
        own, near = (by_head * self.own).sum(dim=2), (by_head * self.near).sum(dim=2)  # (n, heads)
        score = nn.functional.leaky_relu(own[rows] + near[columns], 0.2)
        with torch.no_grad():  # the largest of each row is subtracted, which changes no softmax
            top = torch.full((n, self.heads), -torch.inf, device=h.device)
            top = top.scatter_reduce(0, rows[:, None].expand(-1, self.heads), score, "amax")
        score = (score - top[rows]).exp()
        total = torch.zeros(n, self.heads, device=h.device).index_add(0, rows, score)
        share = score / total[rows].clamp(min=1e-12)
        out = torch.zeros_like(by_head).index_add(0, rows, share[:, :, None] * by_head[columns])
        return out.reshape(n, -1) + self.bias
