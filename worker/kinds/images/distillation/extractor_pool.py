"""Neural feature regression with pooling (FRePo, arXiv:2206.00719): only the last layer is trained to its end.

A pool of networks is trained on the distilled images as these change, each for at most so many steps before it is drawn
anew, so that features of all ages are met. A step picks one: a ridge regression in its features predicts a real batch
from the distilled images; the squared error, differentiated through that one pass, moves images and labels (LAMB); then
the network takes a training step on the distilled images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worker.evidence.distilling import Tick
from worker.kinds.images.distillation.candidate import Candidate
from worker.kinds.images.distillation.optimisers import Optimiser
from worker.kinds.images.distillation.real import RealImages
from worker.kinds.images.distillation.ridge import margin_term, predict, squared_loss
from worker.kinds.images.distillation.synthetic import Synthetic
from worker.kinds.images.networks import Network
from worker.numerics.seeds import mix

RIDGE = 1e-6
_BLOCK = 512


@dataclass(frozen=True)
class PoolSettings:
    """`pool`: networks, each trained for at most `oldest` steps of Adam (`rate`)."""

    pool: int = 10
    oldest: int = 100
    batch_real: int = 1024
    rate: float = 3e-4
    ridge: float = RIDGE


class Member:
    """A network of the pool, its Adam and its age; all its tensors keep their places when it is drawn anew."""

    def __init__(self, network: Callable[[int], Network], seed: int, rate: float) -> None:
        self.fresh, self.seed = network, seed
        self.network = network(mix(seed, 0))
        self.adam = Optimiser(dict(self.network.named_parameters()), rate)
        self.age = torch.zeros((), dtype=torch.int64)
        self.born = torch.zeros((), dtype=torch.int64)

    def tensors(self, name: str) -> dict[str, Tensor]:
        """All that changes."""
        buffers = {f"{name}.buffer.{key}": one for key, one in self.network.named_buffers()}
        return self.adam.tensors(name) | buffers | {f"{name}.age": self.age, f"{name}.born": self.born}

    def renew(self) -> None:
        """Draw it anew."""
        self.born += 1
        self.age.zero_()
        fresh = self.fresh(mix(self.seed, int(self.born)))
        self.network.load_state_dict(fresh.state_dict())
        self.adam.taken.zero_()
        for moments in (self.adam.first, self.adam.second):
            for one in moments.values():
                one.zero_()

    def train(self, x: Tensor, labels: Tensor) -> None:
        """One step of Adam on the squared error of images (n, c, h, w) and labels (n, C)."""
        self.network.train()
        names = dict(self.network.named_parameters())
        loss = (self.network(x) - labels).square().sum(1).mean() / 2
        found = torch.autograd.grad(loss, list(names.values()))
        self.adam.step(dict(zip(names, found, strict=True)))
        self.age += 1


class ExtractorPool:
    """The problem for `learn`. `network(seed)`: a fresh network; the synthetic set must have targets."""

    def __init__(
        self,
        synthetic: Synthetic,
        real: RealImages,
        network: Callable[[int], Network],
        settings: PoolSettings,
        optimiser: Optimiser,
        seed: int,
    ) -> None:
        self.synthetic, self.real, self.settings = synthetic, real, settings
        self.optimiser, self.seed = optimiser, seed
        self.members = [Member(network, mix(seed, 1, number), settings.rate) for number in range(settings.pool)]
        spread = settings.oldest // max(1, settings.pool)
        for number, one in enumerate(self.members):  # or all would be drawn anew at one time
            one.age += number * spread

    def tensors(self) -> dict[str, Tensor]:
        """Images, labels, the pool, and all optimisers."""
        found = self.optimiser.tensors("images")
        for number, one in enumerate(self.members):
            found |= one.tensors(f"member.{number}")
        return found

    def candidate(self) -> Candidate:
        """Images and labels as they now stand."""
        return self.synthetic.candidate(self.synthetic.variables["labels"].detach().float())

    def step(self, number: int, tick: Tick) -> float:
        """One step with one network of the pool."""
        rng = np.random.default_rng([self.seed, number])
        member = self.members[int(rng.integers(len(self.members)))]
        x, y = self.real.draw(self.settings.batch_real, [self.seed, number, 1])
        loss = self._error(member.network.eval(), x, y, tick) + margin_term(self.synthetic.labels())
        self.optimiser.step(self.synthetic.gradients(loss))
        tick()
        member.train(self.synthetic.images().detach(), self.synthetic.labels().detach().float())
        if int(member.age) >= self.settings.oldest:
            member.renew()
        return float(loss.detach())

    def _error(self, network: Network, x: Tensor, y: Tensor, tick: Tick) -> Tensor:
        """Half the mean squared error, over images and classes, of a ridge regression in the network's features."""
        with torch.no_grad():
            blocks: list[Tensor] = []
            for block in x.split(_BLOCK):
                tick()
                blocks.append(network.features(block))
        there, here = torch.cat(blocks).double(), network.features(self.synthetic.images()).double()
        said = predict(there @ here.T, here @ here.T, self.synthetic.labels(), self.settings.ridge)
        return squared_loss(said, y) / self.real.classes
