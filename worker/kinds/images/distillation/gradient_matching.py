"""Gradient matching (DC, arXiv:2006.05929; DSA, arXiv:2102.08259): synthetic images train a network as real ones do.

Algorithm 1 of DC. For each step a fresh network. `outer` times: for each class, the gradient that its synthetic images
give is brought near to that of a real batch, under the same augmentation where there is one; then the network itself
learns from the synthetic images for `inner` epochs, so that gradients match along a training, not only at its start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from worker.evidence.distilling import Tick
from worker.kinds.images.augmentation import apply, augment, draw
from worker.kinds.images.distillation.candidate import Candidate
from worker.kinds.images.distillation.gradients import class_gradient, gradient_distance
from worker.kinds.images.distillation.optimisers import Optimiser
from worker.kinds.images.distillation.real import RealImages
from worker.kinds.images.distillation.synthetic import Synthetic
from worker.kinds.images.networks import Network
from worker.numerics.seeds import mix

_LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}


def loops(per_class: int) -> tuple[int, int]:
    """Outer and inner loops for so many images a class: the published ones, and between them outer = images, inner =
    500 / images in [1, 50]."""
    return _LOOPS.get(per_class, (per_class, min(50, max(1, round(500 / per_class)))))


@dataclass(frozen=True)
class GradientSettings:
    """Settings of a run. `strategy`: augmentation, "none" for DC. `rate`: of the network's own training."""

    outer: int
    inner: int
    batch_real: int
    strategy: str
    rate: float = 0.01
    batch_train: int = 256


class GradientMatching:
    """The problem for `learn`. `network(seed)`: a fresh network."""

    def __init__(
        self,
        synthetic: Synthetic,
        real: RealImages,
        network: Callable[[int], Network],
        settings: GradientSettings,
        optimiser: Optimiser,
        seed: int,
    ) -> None:
        self.synthetic, self.real, self.network, self.settings = synthetic, real, network, settings
        self.optimiser, self.seed = optimiser, seed

    def tensors(self) -> dict[str, Tensor]:
        """The images and their optimiser."""
        return self.optimiser.tensors("images")

    def candidate(self) -> Candidate:
        """The images as they now stand."""
        return self.synthetic.candidate()

    def step(self, number: int, tick: Tick) -> float:
        """One network's training."""
        network = self.network(mix(self.seed, number, 1))
        generator = torch.Generator().manual_seed(mix(self.seed, number, 2))
        total = 0.0
        for outer in range(self.settings.outer):
            total += self._match(network, generator, [self.seed, number, outer], tick)
            if outer + 1 < self.settings.outer:
                self._train(network, generator, tick)
        return total / self.settings.outer

    def _match(self, network: Network, generator: torch.Generator, seed: list[int], tick: Tick) -> float:
        """One step on the images; class by class, so that one class's graph is held at a time."""
        total, gradients = 0.0, dict[str, Tensor]()
        y = self.synthetic.classes()
        for label in range(self.real.classes):
            mine = y == label
            if not bool(mine.any()):
                continue
            tick()
            real = self.real.draw_class(label, self.settings.batch_real, [*seed, label])
            drawn = draw(self.settings.strategy, generator)
            wanted = class_gradient(network, apply(drawn, real), torch.full((len(real),), label, device=real.device))
            view = apply(drawn, self.synthetic.images()[mine])
            given = class_gradient(network, view, y[mine], create_graph=True)
            loss = gradient_distance([one.detach() for one in wanted], given)
            for name, one in self.synthetic.gradients(loss).items():
                gradients[name] = gradients[name] + one if name in gradients else one
            total += float(loss.detach())
        self.optimiser.step(gradients)
        return total

    def _train(self, network: Network, generator: torch.Generator, tick: Tick) -> None:
        """`inner` epochs of plain gradient descent on the images as they stand."""
        x, y = self.synthetic.images().detach(), self.synthetic.classes()
        optimiser = torch.optim.SGD(network.parameters(), lr=self.settings.rate)
        for _ in range(self.settings.inner):
            order = torch.randperm(len(x), generator=generator).to(x.device)
            for rows in order.split(self.settings.batch_train):
                tick()
                optimiser.zero_grad()
                view = augment(x[rows], self.settings.strategy, generator)
                nn.functional.cross_entropy(network(view), y[rows]).backward()
                optimiser.step()
