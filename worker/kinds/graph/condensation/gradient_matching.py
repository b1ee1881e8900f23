"""Gradient matching: synthetic nodes on which a relay's gradient is that of the real nodes, class by class.

GCond, GCondX, DosCond and DosCondX are this one problem. They differ in whether there are edges (`structure`), in how
many steps a relay is trained between two matches (`inner`; none is DosCond's one-step matching) and in how many matches
one relay lives for (`outer`; 1 for DosCond, which draws a relay for each).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.kinds.graph.condensation.adam import Adam
from worker.kinds.graph.condensation.candidate import Candidate
from worker.kinds.graph.condensation.relay import DISTANCES, Relay, by_class
from worker.kinds.graph.condensation.structure import FreeEdges, PairwiseEdges, normalise
from worker.numerics.seeds import mix

RELAY_LR = 0.01
STRUCTURE_EVERY = 5  # one epoch in five is for the structure, as the published 10 in 50
CONCRETE_TAU = (1.0, 0.1)


@dataclass(frozen=True)
class Matching:
    """Settings of a run. `lr_feat` and `lr_adj` are absolute step sizes of Adam on features and on the structure."""

    outer: int
    inner: int
    distance: str
    lr_feat: float
    lr_adj: float
    threshold: float = 0.05
    sparsity: float = 0.0
    epochs: int = 1


class GradientMatching:
    """The problem for `learn`: `relay` knows the gradients of the real nodes; `x` (n, d), `y` (n,) are where to start;
    `structure` is the generator of edges or None."""

    def __init__(
        self,
        relay: Relay,
        x: Tensor,
        y: Tensor,
        classes: int,
        settings: Matching,
        seed: int,
        structure: PairwiseEdges | FreeEdges | None = None,
    ) -> None:
        self.relay, self.y, self.settings, self.seed = relay, y, settings, seed
        self.target = torch.nn.functional.one_hot(y, classes).to(x)
        self.members = by_class(y, classes)
        self.present = [k for k in range(classes) if len(self.members[k])]
        self.share = torch.tensor([len(self.members[k]) / len(y) for k in self.present]).to(x)
        self.x = x.clone().requires_grad_(True)
        self.structure = structure
        self.features = Adam({"x": self.x}, settings.lr_feat)
        self.edges = Adam(dict(structure.named_parameters()), settings.lr_adj) if structure else None

    def tensors(self) -> dict[str, Tensor]:
        """Features, edges and the state of their two optimisers."""
        return self.features.tensors("features") | (self.edges.tensors("edges") if self.edges else {})

    def candidate(self) -> Candidate:
        """The features, and edges of at least `threshold`."""
        if self.structure is None:
            return Candidate(self.x.detach().clone(), self.y)
        with torch.no_grad():
            adjacency = self.structure(self.x)
        return Candidate(
            self.x.detach().clone(), self.y, torch.where(adjacency < self.settings.threshold, 0.0, adjacency)
        )

    def step(self, number: int, tick: Callable[[], None]) -> float:
        """A fresh relay, matched `outer` times; between two matches it is trained for `inner` steps."""
        generator = torch.Generator().manual_seed(mix(self.seed, number))
        theta = self.relay.fresh(self.x.shape[1], generator).to(self.x)
        relay = Adam({"theta": theta}, RELAY_LR)
        of_edges = self.edges is not None and number % STRUCTURE_EVERY == 0
        total = 0.0
        for step in range(self.settings.outer):
            tick()
            loss = self.loss(theta, generator, number)
            optimiser = self.edges if of_edges and self.edges is not None else self.features
            variables = list(optimiser.variables.values())
            optimiser.step(torch.autograd.grad(loss, variables))
            total += float(loss.detach())
            if step + 1 < self.settings.outer and self.settings.inner:
                self._train(relay, theta)
        return total / self.settings.outer

    def loss(self, theta: Tensor, generator: torch.Generator, number: int) -> Tensor:
        """Sum over classes of their share of synthetic nodes times the distance of the gradients."""
        real = self.relay.gradients(theta, self.present, generator)
        hat = self.operator(generator, number)
        synthetic = self.relay.synthetic(theta, self.present, self.x, hat, self.members)
        loss = (self.share * DISTANCES[self.settings.distance](synthetic, real)).sum()
        if self.structure is not None and self.settings.sparsity:
            loss = loss + self.settings.sparsity * self.structure(self.x).mean()
        return loss

    def operator(self, generator: torch.Generator | None = None, number: int = 0) -> Tensor | None:
        """Â' (n, n), None without a structure. With a generator free edges are drawn."""
        if self.structure is None:
            return None
        if generator is None or isinstance(self.structure, PairwiseEdges):
            return normalise(self.structure(self.x))
        warm, cold = CONCRETE_TAU
        tau = warm * (cold / warm) ** (number / max(self.settings.epochs, 1))
        return normalise(self.structure.sample(tau, generator).to(self.x))

    def _train(self, relay: Adam, theta: Tensor) -> None:
        with torch.no_grad():
            hat, x = self.operator(), self.x.detach()
            for _ in range(self.settings.inner):
                relay.step([self.relay.training_gradient(theta, x, hat, self.target)])
