"""Adam as a function from state to state, so that training can be run again, differentiated, or reversed.

Parameters of a network are one vector here: an update is then a handful of operations whatever the number of layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, int], Tensor]
"""`(theta (P,), t) -> scalar`: the loss of step t (from 0) at these parameters. Called again with the same arguments it
must give the same number: the minibatch and what else is random are functions of t."""


@dataclass(frozen=True)
class Adam:
    """Step size, decay of both moments, `eps` outside the root, and decoupled weight decay (arXiv:1711.05101).

    The coupled decay (L2) belongs into the loss.
    """

    lr: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-4
    weight_decay: float = 0.0

    def scale(self, t: int) -> tuple[float, float]:
        """(a, e) of update number t >= 1: theta -= lr a m / (sqrt(v) + e), with both bias corrections in them."""
        root = math.sqrt(1 - self.betas[1] ** t)
        return root / (1 - self.betas[0] ** t), self.eps * root

    @property
    def kept(self) -> float:
        """What a step leaves of the parameters before it moves them."""
        return 1 - self.lr * self.weight_decay


@dataclass(frozen=True)
class State:
    """Where a training stands: parameters and both moments (P,), after `step` updates."""

    theta: Tensor
    first: Tensor
    second: Tensor
    step: int = 0

    @classmethod
    def start(cls, theta: Tensor) -> State:
        """Parameters (P,) with moments at zero."""
        theta = theta.detach()
        return cls(theta, torch.zeros_like(theta), torch.zeros_like(theta))

    def updated(self, gradient: Tensor, adam: Adam) -> State:
        """The state after one update with this gradient (P,); arXiv:1412.6980, algorithm 1."""
        first = torch.lerp(self.first, gradient, 1 - adam.betas[0])
        second = (self.second * adam.betas[1]).addcmul_(gradient, gradient, value=1 - adam.betas[1])
        a, e = adam.scale(self.step + 1)
        theta = self.theta if adam.kept == 1 else self.theta * adam.kept
        theta = torch.addcdiv(theta, first, second.sqrt().add_(e), value=-adam.lr * a)
        return State(theta, first, second, self.step + 1)


def gradient_of(loss: Loss, theta: Tensor, t: int) -> Tensor:
    """The gradient (P,) of the loss of step t, without a graph."""
    leaf = theta.detach().requires_grad_(True)
    return torch.autograd.grad(loss(leaf, t), leaf)[0]


def train(loss: Loss, state: State, steps: int, adam: Adam) -> State:
    """The state `steps` updates on; the loss is asked for steps `state.step`, `state.step` + 1, ..."""
    for _ in range(steps):
        state = state.updated(gradient_of(loss, state.theta, state.step), adam)
    return state


@dataclass(frozen=True)
class Layout:
    """How the parameters of a network lie in one vector, in the order of their names."""

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]

    @classmethod
    def of(cls, network: nn.Module) -> Layout:
        """The layout of a network's trainable parameters."""
        named = [(name, one.shape) for name, one in network.named_parameters() if one.requires_grad]
        return cls(tuple(name for name, _ in named), tuple(shape for _, shape in named))

    @property
    def size(self) -> int:
        """P, the numbers in the vector."""
        return sum(shape.numel() for shape in self.shapes)

    def vector(self, network: nn.Module) -> Tensor:
        """The parameters of a network as a vector (P,) of its own."""
        known = dict(network.named_parameters())
        return torch.cat([known[name].detach().reshape(-1) for name in self.names])

    def named(self, theta: Tensor) -> dict[str, Tensor]:
        """The parameters in a vector (P,) by name, as views: what `torch.func.functional_call` takes."""
        parts = theta.split([shape.numel() for shape in self.shapes])  # one concatenation in the backward pass
        return {name: part.view(shape) for name, part, shape in zip(self.names, parts, self.shapes, strict=True)}
