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
from worker.kinds.graph.condensation.loop import Candidate
from worker.kinds.graph.condensation.relay import (
    DISTANCES,
    class_gradients,
    fresh_weight,
    mean_gradient,
)
from worker.kinds.graph.condensation.structure import FreeEdges, PairwiseEdges, normalise
from worker.numerics.seeds import mix

RELAY_LR = 0.01
CLASS_ROWS = 1024
STRUCTURE_EVERY = 5  # one epoch in five is for the structure, as the published 10 in 50
CONCRETE_TAU = (1.0, 0.1)


@dataclass(frozen=True)
class Matching:
    """Settings of a run. `lr_feat` and `lr_adj` are absolute step sizes of Adam on features and on the structure."""

    hops: int
    outer: int
    inner: int
    distance: str
    lr_feat: float
    lr_adj: float
    threshold: float = 0.05
    sparsity: float = 0.0
    epochs: int = 1


class GradientMatching:
    """The problem for `learn`: `real[k]` (m_k, d) are rows Â^K X of train nodes of class k; `x` (n, d), `y` (n,)
    sorted by class, where to start; `structure` the generator of edges or None."""

    def __init__(
        self,
        real: list[Tensor],
        x: Tensor,
        y: Tensor,
        settings: Matching,
        seed: int,
        structure: PairwiseEdges | FreeEdges | None = None,
    ) -> None:
        self.real, self.y, self.settings, self.seed = real, y, settings, seed
        self.classes = len(real)
        self.target = torch.nn.functional.one_hot(y, self.classes).to(x)
        self.counts = torch.bincount(y, minlength=self.classes)
        self.share = self.counts.to(x) / len(y)
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

    def epoch(self, number: int, tick: Callable[[], None]) -> float:
        """A fresh relay, matched `outer` times; between two matches it is trained for `inner` steps."""
        generator = torch.Generator().manual_seed(mix(self.seed, number))
        weight = fresh_weight(self.x.shape[1], self.classes, generator).to(self.x)
        relay = Adam({"w": weight}, RELAY_LR)
        of_edges = self.edges is not None and number % STRUCTURE_EVERY == 0
        total = 0.0
        for step in range(self.settings.outer):
            tick()
            loss = self.loss(weight, generator, number)
            optimiser = self.edges if of_edges and self.edges is not None else self.features
            variables = list(optimiser.variables.values())
            optimiser.step(torch.autograd.grad(loss, variables))
            total += float(loss.detach())
            if step + 1 < self.settings.outer and self.settings.inner:
                self._train(relay, weight)
        return total / self.settings.outer

    def loss(self, weight: Tensor, generator: torch.Generator, number: int) -> Tensor:
        """Sum over classes of their share of synthetic nodes times the distance of the gradients."""
        present = [k for k in range(self.classes) if self.counts[k] and len(self.real[k])]
        rows = [self._some(self.real[k], generator) for k in present]
        h = self.propagated(generator, number)
        parts = h.split(self.counts.tolist())
        real = class_gradients(rows, present, weight)
        synthetic = class_gradients([parts[k] for k in present], present, weight)
        loss = (self.share[present] * DISTANCES[self.settings.distance](synthetic, real)).sum()
        if self.structure is not None and self.settings.sparsity:
            loss = loss + self.settings.sparsity * self.structure(self.x).mean()
        return loss

    def propagated(self, generator: torch.Generator | None = None, number: int = 0) -> Tensor:
        """Â'^K X' (n, d); X' itself without a structure. With a generator free edges are drawn."""
        h = self.x
        if self.structure is None:
            return h
        if generator is not None and isinstance(self.structure, FreeEdges):
            warm, cold = CONCRETE_TAU
            tau = warm * (cold / warm) ** (number / max(self.settings.epochs, 1))
            adjacency = self.structure.sample(tau, generator).to(h)
        else:
            adjacency = self.structure(h)
        hat = normalise(adjacency)
        for _ in range(self.settings.hops):
            h = hat @ h
        return h

    @torch.no_grad()
    def _train(self, relay: Adam, weight: Tensor) -> None:
        h = self.propagated()
        for _ in range(self.settings.inner):
            relay.step([mean_gradient(h, self.target, weight)])

    def _some(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        if len(rows) <= CLASS_ROWS:
            return rows
        return rows[torch.randperm(len(rows), generator=generator)[:CLASS_ROWS].to(rows.device)]
