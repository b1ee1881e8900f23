"""Distribution matching (DM, arXiv:2110.04181): in the features of random networks, each class looks like the real one.

For each step a fresh network that is never trained; for each class a real batch and all its synthetic images under the
same augmentation; the loss is the sum over classes of a discrepancy of their features (`discrepancies`).

`cf` (NCFM, arXiv:2502.20653) takes features of networks between birth and training, b * init + (1 - b) * trained with
b uniform, and frequencies from N(0, I) or from a sampling network that is trained to make the loss large.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from worker.evidence.distilling import Tick
from worker.kinds.images.augmentation import apply, draw
from worker.kinds.images.distillation.candidate import Candidate
from worker.kinds.images.distillation.discrepancies import cf_discrepancy, mean_discrepancy, mmd
from worker.kinds.images.distillation.optimisers import Optimiser
from worker.kinds.images.distillation.real import RealImages
from worker.kinds.images.distillation.synthetic import Synthetic
from worker.kinds.images.networks import Network
from worker.numerics.seeds import mix

Discrepancy = Literal["mean", "mmd", "cf"]
_BLOCK = 512  # real images through a network at a time
_NOISE = 16  # frequencies that share one noise vector of the sampling network


@dataclass(frozen=True)
class Matching:
    """Settings of a run. `per_class`: synthetic items of a class in a step, 0 for all. `calibration`: weight of the
    cross-entropy of a trained network on the synthetic images (cf alone)."""

    discrepancy: Discrepancy
    batch_real: int
    strategy: str
    frequencies: int = 1024
    sampling: bool = False
    calibration: float = 0.0


class SamplingNetwork(nn.Module):
    """Frequencies (T, F) from noise (T / 16, F): three layers, tanh at the end (NCFM, section 3.3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, width), nn.LayerNorm(width), nn.LeakyReLU(0.2),
            nn.Linear(width, width), nn.LayerNorm(width), nn.LeakyReLU(0.2),
            nn.Linear(width, width), nn.Tanh(),
        )  # fmt: skip

    def forward(self, noise: Tensor) -> Tensor:
        """(T, F)."""
        return self.layers(noise).repeat(_NOISE, 1)


class DistributionMatching:
    """The problem for `learn`. `network(seed)`: the network of a step; `trained(seed)`: one that is fully trained, for
    the calibration, or None."""

    def __init__(
        self,
        synthetic: Synthetic,
        real: RealImages,
        network: Callable[[int], Network],
        settings: Matching,
        optimiser: Optimiser,
        seed: int,
        trained: Callable[[int], Network] | None = None,
    ) -> None:
        self.synthetic, self.real, self.network, self.settings = synthetic, real, network, settings
        self.optimiser, self.seed, self.trained = optimiser, seed, trained
        self.sampler: SamplingNetwork | None = None
        if settings.discrepancy == "cf" and settings.sampling:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(mix(seed, 5))
                self.sampler = SamplingNetwork(network(0).width).to(real.device)
            self.rival = Optimiser(dict(self.sampler.named_parameters()), 1e-3)

    def tensors(self) -> dict[str, Tensor]:
        """Images, the sampling network, and their optimisers."""
        return self.optimiser.tensors("images") | ({} if self.sampler is None else self.rival.tensors("sampler"))

    def candidate(self) -> Candidate:
        """The images as they now stand."""
        return self.synthetic.candidate()

    def step(self, number: int, tick: Tick) -> float:
        """One step through a network of its own."""
        network = self.network(mix(self.seed, number, 1)).requires_grad_(False)
        generator = torch.Generator().manual_seed(mix(self.seed, number, 2))
        x, y = self.synthetic.images(), self.synthetic.classes()
        compare = self._compare(network, generator)
        loss = x.new_zeros(())
        views: list[Tensor] = []
        for label in range(self.real.classes):
            tick()
            mine = x[y == label]
            if not len(mine):
                continue
            real = self.real.draw_class(label, self.settings.batch_real, [self.seed, number, label])
            drawn = draw(self.settings.strategy, generator)
            with torch.no_grad():
                there = torch.cat([network.features(apply(drawn, part)) for part in real.split(_BLOCK)])
            view = apply(drawn, mine)
            views.append(view)
            loss = loss + compare(there, network.features(view))
        return self._move(loss, self._calibrated(loss, views, y, number))

    def _compare(self, network: Network, generator: torch.Generator) -> Callable[[Tensor, Tensor], Tensor]:
        kind = self.settings.discrepancy
        if kind == "mean":
            return mean_discrepancy
        if kind == "mmd":
            return mmd
        count = self.settings.frequencies
        if self.sampler is None:
            t = torch.randn(count, network.width, generator=generator).to(self.real.device)
        else:
            t = self.sampler(
                torch.randn(max(1, count // _NOISE), network.width, generator=generator).to(self.real.device)
            )
        return lambda real, syn: cf_discrepancy(real, syn, t)

    def _calibrated(self, loss: Tensor, views: list[Tensor], y: Tensor, number: int) -> Tensor:
        if not self.settings.calibration or self.trained is None:
            return loss
        labels = torch.cat([y[y == label] for label in range(self.real.classes)])
        network = self.trained(mix(self.seed, number, 3)).requires_grad_(False)
        said = nn.functional.cross_entropy(network(torch.cat(views)), labels)
        return loss + self.settings.calibration * said

    def _move(self, discrepancy: Tensor, loss: Tensor) -> float:
        if self.sampler is not None:
            names = dict(self.sampler.named_parameters())
            found = torch.autograd.grad(-discrepancy, list(names.values()), retain_graph=True)
            gradients = self.synthetic.gradients(loss)
            self.rival.step(dict(zip(names, found, strict=True)))
        else:
            gradients = self.synthetic.gradients(loss)
        self.optimiser.step(gradients)
        return float(loss.detach())
