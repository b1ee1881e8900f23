"""Dataset distillation by backpropagation through training (DD, arXiv:1811.10959; RaT-BPTT, arXiv:2310.07506).

A network is trained on the synthetic images by Adam or by plain gradient descent; its cross-entropy on a real batch is
differentiated through the training (`unrolling`, exact). `bptt`: all steps. `ratbptt`: of a training of at most so many
steps the end is drawn at random, the steps before the last window run without a graph, and the window alone is
differentiated: unbiased enough and far better conditioned. Gradients are scaled by a running mean of their norm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from worker.evidence.distilling import Tick
from worker.kinds.images.augmentation import apply, draw
from worker.kinds.images.distillation.candidate import Candidate
from worker.kinds.images.distillation.optimisers import Optimiser
from worker.kinds.images.distillation.real import RealImages
from worker.kinds.images.distillation.synthetic import Synthetic
from worker.kinds.images.distillation.unrolling import State, unrolled
from worker.kinds.images.networks import Network
from worker.numerics.adam import Layout
from worker.numerics.seeds import mix

Inner = Literal["adam", "sgd"]
_REMEMBER = 0.9  # of the running mean of gradient norms
_BETAS, _EPS = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class BackpropagationSettings:
    """`longest` training and `window` of differentiated steps (equal: plain bptt, and no end is drawn)."""

    longest: int
    window: int
    batch_real: int
    batch: int
    inner: Inner
    rate: float
    strategy: str = "none"


def adam_step(state: State, gradient: Tensor, rate: float, number: int) -> State:
    """(theta, m, v) after update `number` (from 0) of Adam; differentiable also where a gradient is exactly 0."""
    theta, first, second = state
    first = _BETAS[0] * first + (1 - _BETAS[0]) * gradient
    second = _BETAS[1] * second + (1 - _BETAS[1]) * gradient.square()
    first_hat, second_hat = first / (1 - _BETAS[0] ** (number + 1)), second / (1 - _BETAS[1] ** (number + 1))
    root = second_hat.clamp_min(_EPS**2).sqrt()  # no infinite slope of the root at 0
    return theta - rate * first_hat / (root + _EPS), first, second


class Backpropagation:
    """The problem for `learn`. `network(seed)`: a fresh network."""

    def __init__(
        self,
        synthetic: Synthetic,
        real: RealImages,
        network: Callable[[int], Network],
        settings: BackpropagationSettings,
        optimiser: Optimiser,
        seed: int,
    ) -> None:
        self.synthetic, self.real, self.network, self.settings = synthetic, real, network, settings
        self.optimiser, self.seed = optimiser, seed
        self.usual = torch.zeros((), dtype=torch.float64)

    def tensors(self) -> dict[str, Tensor]:
        """Images, labels, their optimiser, and the usual norm of a gradient."""
        return self.optimiser.tensors("images") | {"usual": self.usual}

    def candidate(self) -> Candidate:
        """Images and learned labels as they now stand."""
        targets = self.synthetic.targets
        soft = None if targets is None else torch.softmax(targets.detach(), 1)
        return self.synthetic.candidate(soft)

    def step(self, number: int, tick: Tick) -> float:
        """One network's training, and its loss on a real batch."""
        settings = self.settings
        rng = np.random.default_rng([self.seed, number])
        network = self.network(mix(self.seed, number, 1))
        layout = Layout.of(network)
        images = self.synthetic.images()
        targets = None if self.synthetic.targets is None else self.synthetic.labels()
        leaves = [one.detach().requires_grad_(True) for one in (images, targets) if one is not None]
        train = self._training(network, layout, leaves, number)
        end = int(rng.integers(settings.window, settings.longest + 1)) if settings.window < settings.longest else (
            settings.longest)  # fmt: skip
        theta = layout.vector(network)
        state: State = (theta, torch.zeros_like(theta), torch.zeros_like(theta))
        state = state if settings.inner == "adam" else state[:1]
        before = end - settings.window
        for step in range(before):
            tick()
            state = tuple(one.detach() for one in train(state, step))
        x, y = self.real.draw(settings.batch_real, [self.seed, number, 1])

        def outer(state: State) -> Tensor:
            return functional.cross_entropy(torch.func.functional_call(network, layout.named(state[0]), (x,)), y)

        loss, pulls = unrolled(
            lambda state, step: train(state, before + step), state, settings.window, outer, leaves, tick
        )
        through = [images] if targets is None else [images, targets]
        found = torch.autograd.grad(through, list(self.synthetic.variables.values()), pulls, allow_unused=True)
        self._move({name: one for name, one in zip(self.synthetic.variables, found, strict=True) if one is not None})
        return loss

    def _training(
        self, network: Network, layout: Layout, leaves: list[Tensor], number: int
    ) -> Callable[[State, int], State]:
        """The training steps of one network, as functions of the state and the step's number."""
        settings, y, count = self.settings, self.synthetic.classes(), len(leaves[0])
        size = min(settings.batch or count, count)

        def train(state: State, step: int) -> State:
            generator = torch.Generator().manual_seed(mix(self.seed, number, 2, step))
            rows = torch.randperm(count, generator=generator)[:size].to(y.device)
            theta = state[0]
            graph = theta.requires_grad
            leaf = theta if graph else theta.detach().requires_grad_(True)
            x = apply(draw(settings.strategy, generator, size), leaves[0][rows])
            logits = torch.func.functional_call(network, layout.named(leaf), (x,))
            wanted = y[rows] if len(leaves) == 1 else torch.softmax(leaves[1][rows], 1)
            (gradient,) = torch.autograd.grad(functional.cross_entropy(logits, wanted), leaf, create_graph=graph)
            if settings.inner == "adam":
                return adam_step(state, gradient, settings.rate, step)
            return (theta - settings.rate * gradient,)

        return train

    def _move(self, gradients: dict[str, Tensor]) -> None:
        norm = float(torch.stack([one.double().norm() for one in gradients.values()]).norm())
        if not np.isfinite(norm) or norm == 0:
            return
        self.usual.fill_(norm if self.usual == 0 else _REMEMBER * float(self.usual) + (1 - _REMEMBER) * norm)
        scale = min(1.0, float(self.usual) / norm) / float(self.usual)
        self.optimiser.step({name: one * scale for name, one in gradients.items()})
