"""Trajectory matching: synthetic images on which a student goes where an expert went on the real ones.

MTT (arXiv:2203.11932) and, with learned labels, a window of epochs that moves, and skipped outliers, DATM
(arXiv:2310.05773). The student's step size is learned as its logarithm, so that it stays positive, and the gradient of
the images is cut at ten times its running median: published code is known to diverge at large step sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from worker.evidence.distilling import Tick
from worker.kinds.images.augmentation import apply, draw
from worker.kinds.images.distillation.candidate import Candidate
from worker.kinds.images.distillation.optimisers import Optimiser
from worker.kinds.images.distillation.synthetic import Synthetic
from worker.kinds.images.distillation.trajectories import Engine, match
from worker.kinds.images.networks import Network
from worker.numerics.adam import Layout
from worker.numerics.seeds import mix

_REMEMBERED = 64  # gradient norms for the running median
_CUT = 10.0


@dataclass(frozen=True)
class TrajectorySettings:
    """`steps` of the student (N), `ahead` epochs of the expert (M); starts are drawn from [first, last), whose end
    grows from `first_last` by one every `grow` iterations. `batch`: synthetic images of a student step, 0 for all.
    `skip`: losses above it move nothing, 0 for none."""

    steps: int
    ahead: int
    first: int
    last: int
    first_last: int
    batch: int
    strategy: str
    engine: Engine
    rate: float
    grow: int = 1
    skip: float = 0.0


class TrajectoryMatching:
    """The problem for `learn`. `paths`: (1 + epochs, P) of each expert; `network`: any of their architecture.

    Where the synthetic set has targets they are logits of learned soft labels.
    """

    def __init__(
        self,
        synthetic: Synthetic,
        paths: list[np.ndarray],
        network: Network,
        settings: TrajectorySettings,
        lr: dict[str, float],
        momentum: float,
        seed: int,
    ) -> None:
        self.synthetic, self.paths, self.network, self.settings, self.seed = synthetic, paths, network, settings, seed
        self.layout = Layout.of(network)
        device = synthetic.y.device
        self.log_rate = torch.tensor(math.log(settings.rate), device=device)
        self.optimiser = Optimiser(synthetic.variables | {"rate": self.log_rate}, lr, "sgd", momentum=momentum)
        self.norms = torch.full((_REMEMBERED,), math.nan)

    def tensors(self) -> dict[str, Tensor]:
        """Images, labels, the logarithm of the step size, their optimiser, and recent gradient norms."""
        return self.optimiser.tensors("images") | {"norms": self.norms}

    def candidate(self) -> Candidate:
        """The images, learned labels as probabilities, and the step size they were learned for."""
        targets = self.synthetic.targets
        soft = None if targets is None else torch.softmax(targets.detach(), 1)
        return self.synthetic.candidate(soft, float(self.log_rate.exp()))

    def window(self, number: int) -> tuple[int, int]:
        """Epochs [first, last) from which the start of iteration `number` (from 1) is drawn."""
        settings = self.settings
        grown = settings.first_last + (number - 1) // settings.grow
        return settings.first, max(settings.first + 1, min(settings.last, grown))

    def step(self, number: int, tick: Tick) -> float:
        """One iteration, with an expert and a start of its own."""
        settings, device = self.settings, self.synthetic.y.device
        rng = np.random.default_rng([self.seed, number])
        path = self.paths[int(rng.integers(len(self.paths)))]
        at = int(rng.integers(*self.window(number)))
        start = torch.from_numpy(path[at]).to(device)
        target = torch.from_numpy(path[at + settings.ahead]).to(device)
        images = self.synthetic.images()
        labels = None if self.synthetic.targets is None else self.synthetic.labels()
        leaves = [one.detach().requires_grad_(True) for one in (images, labels) if one is not None]
        orders = self._orders(len(images), rng)

        def loss(theta: Tensor, step: int) -> Tensor:
            rows = orders[step]
            generator = torch.Generator().manual_seed(mix(self.seed, number, step))
            x = apply(draw(settings.strategy, generator, len(rows)), leaves[0][rows])
            logits = torch.func.functional_call(self.network, self.layout.named(theta), (x,))
            if labels is None:
                return functional.cross_entropy(logits, self.synthetic.classes()[rows])
            return functional.cross_entropy(logits, torch.softmax(leaves[1][rows], 1))

        rate = self.log_rate.exp()
        found = match(settings.engine, loss, start, target, settings.steps, rate, leaves, tick)
        if not settings.skip or found.loss <= settings.skip:
            self._move(images, labels, found.learned, found.rate * rate)
        return found.loss

    def _orders(self, count: int, rng: np.random.Generator) -> list[Tensor]:
        """Rows of each student step: whole passes in an order of their own, cut into batches."""
        size = min(self.settings.batch or count, count)
        rows: list[np.ndarray] = []
        while len(rows) < self.settings.steps:
            order = rng.permutation(count)
            rows += [order[begin : begin + size] for begin in range(0, count - size + 1, size)]
        device = self.synthetic.y.device
        return [torch.from_numpy(one).to(device) for one in rows[: self.settings.steps]]

    def _move(self, images: Tensor, labels: Tensor | None, pulls: list[Tensor], to_rate: Tensor) -> None:
        into = list(self.synthetic.variables.values())
        through = [images] if labels is None else [images, labels]
        found = torch.autograd.grad(through, into, pulls, allow_unused=True)
        gradients = {name: one for name, one in zip(self.synthetic.variables, found, strict=True) if one is not None}
        norm = float(torch.stack([one.norm() for one in gradients.values()]).norm())
        if not math.isfinite(norm):
            return  # nothing to learn from a path that left the numbers
        known = self.norms[torch.isfinite(self.norms)]
        limit = _CUT * float(known.median()) if len(known) else norm
        self.norms.copy_(torch.cat([self.norms[1:], torch.tensor([norm])]))
        if norm > limit:
            gradients = {name: one * (limit / norm) for name, one in gradients.items()}
        self.optimiser.step(gradients | {"rate": to_rate.detach()})
