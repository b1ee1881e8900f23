"""Where a student ends that starts at an expert and learns from synthetic images, and what moves that end.

MTT (arXiv:2203.11932, algorithm 1): L = ||theta_N - theta*_{t+M}||^2 / ||theta*_t - theta*_{t+M}||^2 with N plain
gradient steps on synthetic batches from theta*_t. Two engines give its gradient with respect to images and step size:

* `exact`: backpropagation through all N steps, in the memory of one (`unrolling`).
* `tesla` (arXiv:2211.10586): with G the sum of the gradients, v = 2 (a (theta* - theta_0) + a^2 G) / den, the gradient
  is the sum of d/dx (v . g_i) at the stored theta_i. It drops what theta_i owes to earlier batches: exact for N = 1
  alone, and the further off the longer the path. (The published code doubles a tuple where it means the gradient; ours
  is the formula.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from worker.kinds.images.distillation.unrolling import State, unrolled

Engine = Literal["exact", "tesla"]
BatchLoss = Callable[[Tensor, int], Tensor]
"""`(theta (P,), i)` -> the loss of student step i, differentiable in theta and in what is learned; a function of i."""


@dataclass(frozen=True)
class Matched:
    """The loss, and its gradients with respect to what is learned and to the step size."""

    loss: float
    learned: list[Tensor]
    rate: Tensor


def matching_loss(reached: Tensor, start: Tensor, target: Tensor) -> Tensor:
    """Squared distance from `reached` to the target over that from the start to it, all (P,)."""
    return (reached - target).square().sum() / (start - target).square().sum().clamp_min(1e-30)


def match(
    engine: Engine,
    loss: BatchLoss,
    start: Tensor,
    target: Tensor,
    steps: int,
    rate: Tensor,
    learned: list[Tensor],
    tick: Callable[[], None] = lambda: None,
) -> Matched:
    """Loss and gradients of N = `steps` student steps of size `rate` (a scalar tensor) from `start` (P,)."""
    return (_exact if engine == "exact" else _tesla)(loss, start, target, steps, rate, learned, tick)


def _exact(
    loss: BatchLoss, start: Tensor, target: Tensor, steps: int, rate: Tensor, learned: list[Tensor],
    tick: Callable[[], None],
) -> Matched:  # fmt: skip
    size = rate.detach().requires_grad_(True)

    def step(state: State, number: int) -> State:
        (theta,) = state
        graph = theta.requires_grad
        leaf = theta if graph else theta.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(leaf, number), leaf, create_graph=graph)
        return (theta - size * gradient,)

    value, found = unrolled(
        step, (start,), steps, lambda state: matching_loss(state[0], start, target), [*learned, size], tick
    )
    return Matched(value, found[:-1], found[-1])


def _tesla(
    loss: BatchLoss, start: Tensor, target: Tensor, steps: int, rate: Tensor, learned: list[Tensor],
    tick: Callable[[], None],
) -> Matched:  # fmt: skip
    a = float(rate.detach())
    states, total = [start.detach()], torch.zeros_like(start)
    for number in range(steps):
        tick()
        leaf = states[-1].requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(leaf, number), leaf)
        total += gradient
        states.append((leaf - a * gradient).detach())
    scale = (start - target).square().sum().clamp_min(1e-30)
    v = 2 * (a * (target - start) + a * a * total) / scale
    sums = [torch.zeros_like(one) for one in learned]
    for number in range(steps):
        tick()
        leaf = states[number].detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(leaf, number), leaf, create_graph=True)
        found = torch.autograd.grad(gradient @ v, learned, allow_unused=True)
        sums = [one if more is None else one + more for one, more in zip(sums, found, strict=True)]
    reached = states[-1]
    to_rate = -2 * (reached - target) @ total / scale
    return Matched(float(matching_loss(reached, start, target)), sums, to_rate)
