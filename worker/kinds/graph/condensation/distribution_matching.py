"""Distribution matching: synthetic nodes whose class means, seen through random networks, are those of the real nodes.

GCDM (arXiv:2206.13697) draws a GCN anew at every step and compares what each of its layers makes of a class: the
squared distance of class means (a maximum mean discrepancy). GraphSlim's code compares random pairs of real and
synthetic nodes instead, in L1, whose minimum is a coordinate-wise median under noise. The last layer's random weights W
are left out: in expectation |W^T a|² is |a|² up to a factor, so the hidden units are compared as they stand.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worker.kinds.graph.condensation.adam import Adam
from worker.kinds.graph.condensation.candidate import Candidate
from worker.kinds.graph.condensation.experts import fresh_weight
from worker.kinds.graph.condensation.structure import PairwiseEdges, normalise
from worker.kinds.graph.networks.products import Factor, Sparse
from worker.numerics.seeds import mix

HIDDEN = 256
STRUCTURE_EVERY = 5


class DistributionMatching:
    """The problem for `learn`.

    `inner` (r, d): rows of ÂX at the train nodes and their neighbours. `means` two matrices (C, r): times relu(inner W)
    they give the class means of the first layer, and of the second one before its weights. `x` (n, d), `y` (n,): where
    to start.
    """

    def __init__(
        self,
        inner: Factor,
        means: tuple[Sparse, Sparse],
        x: Tensor,
        y: Tensor,
        *,
        outer: int,
        lr_feat: float,
        lr_adj: float,
        threshold: float,
        seed: int,
        structure: PairwiseEdges | None = None,
    ) -> None:
        self.inner, self.means, self.y, self.seed = inner, means, y, seed
        self.outer, self.threshold, self.structure = outer, threshold, structure
        classes = means[0].shape[0]
        member = torch.nn.functional.one_hot(y, classes).to(x)
        self.share = member.sum(0) / len(y)
        self.mean = (member / member.sum(0).clamp_min(1)).T
        self.scale = float(x.norm(dim=1).mean().clamp_min(1e-12))
        self.x = x.clone().requires_grad_(True)
        self.features = Adam({"x": self.x}, lr_feat)
        self.edges = Adam(dict(structure.named_parameters()), lr_adj) if structure else None

    def tensors(self) -> dict[str, Tensor]:
        """Features, edges and the state of their two optimisers."""
        return self.features.tensors("features") | (self.edges.tensors("edges") if self.edges else {})

    def candidate(self) -> Candidate:
        """The features, and edges of at least `threshold`."""
        x = self.x.detach().clone()
        if self.structure is None:
            return Candidate(x, self.y)
        with torch.no_grad():
            adjacency = self.structure(self.x)
        return Candidate(x, self.y, torch.where(adjacency < self.threshold, 0.0, adjacency))

    def step(self, number: int, tick: Callable[[], None]) -> float:
        """`outer` steps, each through a network of its own."""
        generator = torch.Generator().manual_seed(mix(self.seed, number))
        of_edges = self.edges is not None and number % STRUCTURE_EVERY == 0
        total = 0.0
        for _ in range(self.outer):
            tick()
            weight = fresh_weight(self.x.shape[1], HIDDEN, generator).to(self.x) / self.scale
            loss = self.loss(weight)
            optimiser = self.edges if of_edges and self.edges is not None else self.features
            optimiser.step(torch.autograd.grad(loss, list(optimiser.variables.values())))
            total += float(loss.detach())
        return total / self.outer

    def loss(self, weight: Tensor) -> Tensor:
        """Sum over layers and classes of the class's share of nodes times the squared distance of its means."""
        with torch.no_grad():
            real = torch.relu(self.inner @ weight)
            wanted = [matrix @ real for matrix in self.means]
        hat = None if self.structure is None else normalise(self.structure(self.x))
        first = torch.relu((self.x if hat is None else hat @ self.x) @ weight)
        second = first if hat is None else hat @ first
        apart = [
            (self.mean @ made - there).square().sum(1) for made, there in zip((first, second), wanted, strict=True)
        ]
        return (self.share * (apart[0] + apart[1])).sum()
