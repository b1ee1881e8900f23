"""An invertible map of rows, learned so that classes fall into balanced clusters, and prototypes carried back by it.

DeepCGC (TKDE 2026): Z = f(H) by additive coupling (NICE, arXiv:1410.8516); prototypes of every synthetic node, cosine
logits; cross-entropy to the current clusters, which after a warm-up are the optimal transport of each class's rows to
its prototypes with equal shares (Sinkhorn); consistency under masked features; prototypes pushed apart. Synthetic nodes
are f^-1 of the cluster means in Z. Departs from the published code in the start: the last map of every coupling begins
at 0, so that f begins as the identity and the first synthetic nodes are plain k-means centroids.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.kinds.graph.condensation.adam import Adam
from worker.kinds.graph.condensation.candidate import Candidate
from worker.numerics.seeds import mix

LAYERS = 2
SINKHORN_ROUNDS = 3


class Coupling(nn.Module):
    """z = x with every second column moved by a perceptron of the others, `LAYERS` times in turn; invertible."""

    def __init__(self, features: int, hidden: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        even = torch.arange(0, features, 2)
        odd = torch.arange(1, features, 2)
        self.halves = [(even, odd) if layer % 2 == 0 else (odd, even) for layer in range(LAYERS)]
        self.scale = scale
        self.inner = nn.ModuleList()
        for kept, moved in self.halves:
            first, last = nn.Linear(len(kept), hidden), nn.Linear(hidden, len(moved))
            with torch.no_grad():
                bound = 1 / math.sqrt(len(kept))
                first.weight.copy_((torch.rand(first.weight.shape, generator=generator) * 2 - 1) * bound)
                first.bias.zero_()
                last.weight.zero_()
                last.bias.zero_()
            self.inner.append(nn.Sequential(first, nn.ReLU(), last))

    def forward(self, x: Tensor) -> Tensor:
        """Z (m, d) of rows (m, d)."""
        return self._through(x, 1.0, range(LAYERS))

    def inverse(self, z: Tensor) -> Tensor:
        """Rows (m, d) of Z (m, d)."""
        return self._through(z, -1.0, reversed(range(LAYERS)))

    def _through(self, x: Tensor, sign: float, layers: Iterable[int]) -> Tensor:
        for layer in layers:
            kept, moved = self.halves[layer]
            shift = self.inner[layer](x[:, kept] / self.scale) * self.scale
            x = x.index_add(1, moved.to(x.device), sign * shift)
        return x


def transport(logits: Tensor, epsilon: float, rounds: int = SINKHORN_ROUNDS) -> Tensor:
    """Plan (m, k) float32 of m rows to k clusters by similarity `logits` (m, k): Sinkhorn, rows first.

    Each column sums to m / k, so that clusters are balanced; rows then sum to 1 but for what `rounds` left undone.
    """
    plan = torch.exp((logits - logits.max()) / epsilon)
    m, k = plan.shape
    for _ in range(rounds):
        plan = plan / plan.sum(1, keepdim=True).clamp_min(1e-30)
        plan = plan / plan.sum(0, keepdim=True).clamp_min(1e-30) * (m / k)
    return plan


@dataclass(frozen=True)
class DeepSettings:
    """Of one run; the letters are the paper's. `epsilon`: of the transport; `mask`: share of hidden features."""

    lr: float
    warmup: int
    update_every: int
    epsilon: float
    temperature: float
    delta: float
    sigma: float
    mask: float


class DeepClusters:
    """The problem for `learn`: rows h (m, d) sorted by class y (m,), `parts` (m,) their first clusters, numbered so
    that clusters `owner` (n,) of a class follow one another."""

    def __init__(self, h: Tensor, y: Tensor, parts: Tensor, owner: Tensor, settings: DeepSettings, seed: int) -> None:
        self.h, self.y, self.owner, self.settings, self.seed = h, y, owner, settings, seed
        self.scale = float(h.norm(dim=1).mean().clamp_min(1e-12))
        generator = torch.Generator().manual_seed(mix(seed, 0))
        self.map = Coupling(h.shape[1], 256, self.scale, generator).to(h.device)
        self.parts = parts.clone()
        self.prototypes = (self._means(h) / self.scale).requires_grad_(True)
        variables = dict(self.map.named_parameters()) | {"prototypes": self.prototypes}
        self.adam = Adam(variables, settings.lr)

    def tensors(self) -> dict[str, Tensor]:
        """The map, the prototypes, their optimiser and the clusters."""
        return self.adam.tensors("map") | {"parts": self.parts}

    def candidate(self) -> Candidate:
        """f^-1 of the cluster means in Z."""
        with torch.no_grad():
            return Candidate(self.map.inverse(self._means(self.map(self.h))), self.owner)

    def step(self, number: int, tick: Callable[[], None]) -> float:
        """One step on all rows, and from time to time new clusters."""
        tick()
        settings = self.settings
        if number > settings.warmup and (number - settings.warmup) % settings.update_every == 1 % settings.update_every:
            self._recluster()
        generator = torch.Generator().manual_seed(mix(self.seed, number))
        logits = self._logits(self.map(self.h))
        kept = (torch.rand(self.h.shape, generator=generator) >= settings.mask).to(self.h)
        masked = self._logits(self.map(self.h * kept))
        unit = functional.normalize(self.prototypes, dim=1)
        apart = (unit @ unit.T - torch.eye(len(unit), device=unit.device)).square().mean()
        agree = functional.kl_div(
            torch.log_softmax(masked, 1), torch.log_softmax(logits.detach(), 1), reduction="batchmean", log_target=True
        )
        loss = functional.cross_entropy(logits, self.parts) + settings.delta * agree + settings.sigma * apart
        self.adam.step(torch.autograd.grad(loss, list(self.adam.variables.values())))
        return float(loss.detach())

    def _logits(self, z: Tensor) -> Tensor:
        cosine = functional.normalize(z, dim=1) @ functional.normalize(self.prototypes, dim=1).T
        return cosine / self.settings.temperature

    @torch.no_grad()
    def _recluster(self) -> None:
        """Each class's rows go to its prototypes by optimal transport; a cluster left empty keeps its surest row."""
        cosine = self._logits(self.map(self.h)) * self.settings.temperature
        for number in self.owner.unique().tolist():
            rows, columns = (self.y == number).nonzero()[:, 0], (self.owner == number).nonzero()[:, 0]
            plan = transport(cosine[rows][:, columns], self.settings.epsilon)
            chosen = plan.argmax(1)
            for empty in set(range(len(columns))) - set(chosen.tolist()):
                sizes = torch.bincount(chosen, minlength=len(columns))
                free = sizes[chosen] > 1
                chosen[int(torch.where(free, plan[:, empty], torch.tensor(-1.0, device=plan.device)).argmax())] = empty
            self.parts[rows] = columns[chosen]

    def _means(self, z: Tensor) -> Tensor:
        total = torch.zeros(len(self.owner), z.shape[1], dtype=z.dtype, device=z.device).index_add(0, self.parts, z)
        return total / torch.bincount(self.parts, minlength=len(self.owner)).clamp_min(1)[:, None]
