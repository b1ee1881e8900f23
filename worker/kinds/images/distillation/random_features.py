"""Random feature approximation (RFAD, arXiv:2210.12067): kernel inducing points for convolutional networks.

The kernel of a wide convolutional network costs pixels^2 a pair of images; here it is the inner product of features of
a few networks with random weights, drawn anew for each step: K = 2 F F^T + 0.01, F (n, nets * width) / sqrt(their
number), as published. Labels are learned, the loss is a Platt-scaled cross-entropy whose scale is learned, too, and
images move by AdaBelief. Departs from the published code in two things: no learned linear map in front of the pixels,
and validation by the network that is trained on the images, not by a fixed set of random ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.evidence.distilling import Tick
from worker.kinds.images.distillation.candidate import Candidate
from worker.kinds.images.distillation.optimisers import Optimiser
from worker.kinds.images.distillation.real import RealImages
from worker.kinds.images.distillation.ridge import centred, platt_loss, predict, squared_loss
from worker.kinds.images.distillation.synthetic import Synthetic
from worker.kinds.images.networks import Network
from worker.numerics.seeds import mix

RIDGE, BIAS = 5e-3, 0.01
_BLOCK = 512


@dataclass(frozen=True)
class RandomFeatureSettings:
    """`nets`: networks of a step. `platt`: cross-entropy with a learned scale, else squares."""

    nets: int = 8
    batch_real: int = 1280
    platt: bool = True
    ridge: float = RIDGE


def gaussian(network: Network, seed: int) -> Network:
    """The network with weights N(0, 2 / fan in) and biases N(0, 0.01), so that depth keeps the scale of features."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in network.parameters():
            if one.ndim > 1:
                drawn = torch.randn(one.shape, generator=generator) * (2 / one[0].numel()) ** 0.5
            else:
                drawn = torch.randn(one.shape, generator=generator) * 0.1
            one.copy_(drawn)
    return network.requires_grad_(False)


def features(networks: list[Network], x: Tensor) -> Tensor:
    """F (n, nets * width) / sqrt(nets * width) of images (n, c, h, w)."""
    found = torch.cat([network.features(x) for network in networks], 1)
    return found / found.shape[1] ** 0.5


def kernel(f: Tensor, g: Tensor) -> Tensor:
    """2 F G^T + 0.01, float64 (n, m)."""
    return 2 * f.double() @ g.double().T + BIAS


class RandomFeatures:
    """The problem for `learn`. `network(seed)`: a network without norm layers, which gets Gaussian weights."""

    def __init__(
        self,
        synthetic: Synthetic,
        real: RealImages,
        network: Callable[[int], Network],
        settings: RandomFeatureSettings,
        lr: dict[str, float],
        seed: int,
    ) -> None:
        self.synthetic, self.real, self.network, self.settings, self.seed = synthetic, real, network, settings, seed
        self.scale = torch.zeros((), dtype=torch.float64, device=real.device, requires_grad=True)
        self.optimiser = Optimiser(synthetic.variables, lr, "adabelief", eps=1e-16)
        self.scaling = Optimiser({"scale": self.scale}, 1e-2)

    def tensors(self) -> dict[str, Tensor]:
        """Images, labels, the scale, and their optimisers."""
        return self.optimiser.tensors("images") | self.scaling.tensors("scale")

    def candidate(self) -> Candidate:
        """Images and learned labels as they now stand."""
        targets = self.synthetic.targets
        return self.synthetic.candidate(None if targets is None else targets.detach().float())

    def step(self, number: int, tick: Tick) -> float:
        """One step through networks of its own."""
        seeds = [mix(self.seed, number, 1, one) for one in range(self.settings.nets)]
        networks = [gaussian(self.network(seed), seed).to(self.real.device) for seed in seeds]
        x, y = self.real.draw(self.settings.batch_real, mix(self.seed, number, 2))
        with torch.no_grad():
            blocks: list[Tensor] = []
            for block in x.split(_BLOCK):
                tick()
                blocks.append(features(networks, block))
        f, g = features(networks, self.synthetic.images()), torch.cat(blocks)
        learned = self.synthetic.targets is not None
        labels = self.synthetic.labels() if learned else centred(self.synthetic.classes(), self.real.classes)
        said = predict(kernel(g, f), kernel(f, f), labels, self.settings.ridge)
        loss = platt_loss(said, y, self.scale) if self.settings.platt else squared_loss(said, y)
        gradients = self.synthetic.gradients(loss) if not self.settings.platt else self._both(loss)
        self.optimiser.step(gradients)
        return float(loss.detach())

    def _both(self, loss: Tensor) -> dict[str, Tensor]:
        (scale,) = torch.autograd.grad(loss, self.scale, retain_graph=True)
        self.scaling.step({"scale": scale})
        return self.synthetic.gradients(loss)
