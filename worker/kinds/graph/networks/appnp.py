"""APPNP (arXiv:1810.05997): a perceptron whose predictions are spread by personalised PageRank.

Z_0 = MLP(X), Z_{k+1} = (1 - alpha) Â Z_k + alpha Z_0, ten steps and alpha 0.1 unless said.
"""

from __future__ import annotations

from torch import Tensor, nn

from worker.kinds.graph.networks.mlp import MLP
from worker.kinds.graph.networks.products import Factor, Sparse, spread

STEPS, ALPHA = 10, 0.1


class APPNP(nn.Module):
    """`forward(x, operator)`: logits (n, C)."""

    def __init__(self, features: int, classes: int, hidden: int = 256, dropout: float = 0.0, *, steps: int = STEPS,
                 alpha: float = ALPHA) -> None:  # fmt: skip
        super().__init__()
        self.steps, self.alpha = steps, alpha
        self.perceptron = MLP(features, classes, hidden, dropout)

    def forward(self, x: Factor, operator: Sparse | Tensor | None) -> Tensor:
        """Logits (n, C)."""
        start = self.perceptron(x)
        z = start
        for _ in range(self.steps):
            z = (1 - self.alpha) * spread(operator, z) + self.alpha * start
        return z
