"""Edges between synthetic nodes that are learned with them: made from their features, or free.

A structure is a symmetric matrix A' (n, n) in [0, 1] with zero diagonal. `normalise` adds the self-loops, once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

FIRST = 0.02  # what an edge weighs in the beginning, at most
BLOCK_PAIRS = 200_000


def start_logit(nodes: int) -> float:
    """Where the logit of every edge starts: at 0.02, and at 1/n where n is above 50, so that all edges of a node
    together weigh no more than its self-loop."""
    weight = min(FIRST, 1 / max(nodes, 1))
    return math.log(weight / (1 - weight))


def normalise(adjacency: Tensor) -> Tensor:
    """D^-1/2 (A' + I) D^-1/2 of a dense (n, n) structure, differentiable."""
    looped = adjacency + torch.eye(len(adjacency), dtype=adjacency.dtype, device=adjacency.device)
    scale = looped.sum(1).rsqrt()
    return scale[:, None] * looped * scale[None, :]


class PairwiseEdges(nn.Module):
    """GCond's generator (arXiv:2110.07580, section 3.2): A'_ij = sigmoid((e_ij + e_ji) / 2), e_ij an MLP of [x_i; x_j].

    Three linear maps of `hidden` units. Departs from the published code: W [x_i; x_j] is taken as U x_i + V x_j, so
    that no pair is ever copied; layer instead of batch normalisation, so that blocks of pairs give what all pairs
    together give; features divided by their mean norm; and edges start near 0 (`start_logit`) instead of 1/2, where
    every pair of nodes was joined by half an edge and one propagation made all nodes alike.
    """

    def __init__(self, features: int, hidden: int, nodes: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.scale = scale
        self.left, self.right = nn.Linear(features, hidden), nn.Linear(features, hidden, bias=False)
        self.middle, self.last = nn.Linear(hidden, hidden), nn.Linear(hidden, 1)
        with torch.no_grad():
            for one in self.parameters():
                bound = 1 / math.sqrt(one.shape[-1])
                one.copy_((torch.rand(one.shape, generator=generator) * 2 - 1) * bound)
            self.last.bias.fill_(start_logit(nodes))

    def forward(self, x: Tensor, block_pairs: int = BLOCK_PAIRS) -> Tensor:
        """A' (n, n) of features (n, d), in blocks of rows."""
        n = len(x)
        left, right = self.left(x / self.scale), self.right(x / self.scale)
        rows = max(1, block_pairs // n)
        parts = [self._scores(left[start : start + rows], right) for start in range(0, n, rows)]
        scores = torch.cat(parts)
        return _mirrored(torch.sigmoid((scores + scores.T) / 2))

    def _scores(self, left: Tensor, right: Tensor) -> Tensor:
        """e (b, n) of some left nodes; a block's activations are made again in the backward pass."""
        if torch.is_grad_enabled() and len(left) < len(right):
            return checkpoint(self._pairs, left, right, use_reentrant=False)
        return self._pairs(left, right)

    def _pairs(self, left: Tensor, right: Tensor) -> Tensor:
        hidden = (left[:, None, :] + right[None, :, :]).flatten(0, 1)
        hidden = functional.relu(functional.layer_norm(hidden, hidden.shape[1:]))
        hidden = functional.relu(functional.layer_norm(self.middle(hidden), hidden.shape[1:]))
        return self.last(hidden).view(len(left), len(right))


class FreeEdges(nn.Module):
    """DosCond's structure (arXiv:2206.07746, section 3.1): edges drawn with probability sigmoid(Omega_ij).

    `sample` relaxes the draw (binary concrete, temperature `tau`) so that a gradient reaches Omega; `forward` gives the
    probabilities. Omega is symmetric and starts at `start_logit`.
    """

    def __init__(self, nodes: int) -> None:
        super().__init__()
        self.omega = nn.Parameter(torch.full((nodes, nodes), start_logit(nodes)))

    def _logits(self) -> Tensor:
        return (self.omega + self.omega.T) / 2

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities (n, n), zero on the diagonal; the features `x` play no part."""
        return _mirrored(torch.sigmoid(self._logits()))

    def sample(self, tau: float, generator: torch.Generator) -> Tensor:
        """One relaxed draw (n, n): symmetric, zero on the diagonal."""
        u = torch.rand(self.omega.shape, generator=generator).clamp(1e-6, 1 - 1e-6).triu(1)
        noise = (torch.log(u) - torch.log1p(-u)).triu(1).nan_to_num(0.0, 0.0, 0.0).to(self.omega)
        return _mirrored(torch.sigmoid((noise + noise.T + self._logits()) / tau))


def _mirrored(joined: Tensor) -> Tensor:
    """Symmetric to the last bit, which a sigmoid taken in lanes is not, with zero diagonal."""
    joined = (joined + joined.T) / 2
    return joined - torch.diag(torch.diagonal(joined))
