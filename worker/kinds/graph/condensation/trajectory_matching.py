"""Trajectory matching: synthetic nodes on which a student goes where an expert went on the real nodes.

A student starts at an expert's parameters at some epoch and takes `syn_steps` plain gradient steps on the synthetic
nodes, which have no edges; the loss is how far it ends from where the expert was some epochs later, over how far the
expert went. Step size, features and, for GEOM, soft labels are learned through the student's steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worker.kinds.graph.condensation.adam import Adam
from worker.kinds.graph.condensation.candidate import Candidate
from worker.kinds.graph.condensation.experts import Shape
from worker.numerics.seeds import mix


@dataclass(frozen=True)
class Trajectory:
    """Settings of a run. `span`: snapshots from start to target. `first`, `last`: starts are drawn below `first` in the
    beginning and, growing by one an iteration, below `last` in the end. `squared`: SFGC's ratio of squared distances,
    else GEOM's of distances. `beta`: weight of the final expert's loss on the synthetic nodes."""

    syn_steps: int
    span: int
    first: int
    last: int
    squared: bool
    beta: float
    soft: bool
    iterations: int
    lr_student: float
    lr_feat: float
    lr_label: float
    lr_step: float


class TrajectoryMatching:
    """The problem for `learn`: `experts` are snapshots (T, P) each; `x` (n, d) and `y` (n,) where to start, `scale` the
    number features are divided by before the network."""

    def __init__(
        self,
        experts: list[np.ndarray],
        shape: Shape,
        x: Tensor,
        y: Tensor,
        scale: float,
        settings: Trajectory,
        seed: int,
    ) -> None:
        self.experts = [torch.from_numpy(one).to(x.device) for one in experts]
        self.shape, self.y, self.scale, self.settings, self.seed = shape, y, scale, settings, seed
        self.x = (x / scale).requires_grad_(True)
        one_hot = torch.nn.functional.one_hot(y, shape.classes).to(x)
        self.labels = (one_hot * float(np.log(9 * max(shape.classes - 1, 1)))).requires_grad_(settings.soft)
        self.step_size = torch.tensor(float(np.log(settings.lr_student)), device=x.device, requires_grad=True)
        variables = {"x": self.x, "step": self.step_size} | ({"labels": self.labels} if settings.soft else {})
        rates = {"x": settings.lr_feat, "step": settings.lr_step, "labels": settings.lr_label}
        self.adam = Adam(variables, {name: rates[name] for name in variables})

    def tensors(self) -> dict[str, Tensor]:
        """Features, labels, the logarithm of the step size, and their optimiser."""
        return self.adam.tensors("nodes")

    def candidate(self) -> Candidate:
        """The features on the scale of the graph, with soft labels where they are learned."""
        soft = torch.softmax(self.labels.detach(), 1) if self.settings.soft else None
        return Candidate(self.x.detach() * self.scale, self.y, None, soft)

    def step(self, number: int, tick: Callable[[], None]) -> float:
        """Some iterations, each with an expert and a start of its own."""
        generator = torch.Generator().manual_seed(mix(self.seed, number))
        total = 0.0
        for step in range(self.settings.iterations):
            tick()
            expert = self.experts[int(torch.randint(len(self.experts), (), generator=generator))]
            window = min(self.settings.first + (number - 1) * self.settings.iterations + step, self.settings.last)
            start = int(torch.randint(window, (), generator=generator))
            loss = self.loss(expert, start, tick)
            self.adam.step(torch.autograd.grad(loss, list(self.adam.variables.values()), allow_unused=False))
            total += float(loss.detach())
        return total / self.settings.iterations

    def loss(self, expert: Tensor, start: int, tick: Callable[[], None]) -> Tensor:
        """Distance of the student from the expert's snapshot `start + span`, over that of `start` from it."""
        settings = self.settings
        begin, target = expert[start], expert[start + settings.span]
        reached = self.student(begin, settings.syn_steps, tick)
        ratio = (reached - target).square().sum() / (begin - target).square().sum().clamp_min(1e-30)
        loss = ratio if settings.squared else (ratio + 1e-12).sqrt()
        if settings.beta:
            loss = loss + settings.beta * self._cross_entropy(self._logits(expert[-1]))
        return loss

    def student(self, theta: Tensor, steps: int, tick: Callable[[], None] = lambda: None) -> Tensor:
        """Parameters (P,) after some gradient steps on the synthetic nodes, differentiable in all that is learned."""
        theta = theta.detach().requires_grad_(True)
        rate = self.step_size.exp()
        for number in range(steps):
            if number % 20 == 0:
                tick()
            loss = self._cross_entropy(self._logits(theta))
            (gradient,) = torch.autograd.grad(loss, theta, create_graph=True)
            theta = theta - rate * gradient
        return theta

    def _logits(self, theta: Tensor) -> Tensor:
        first, bias, second, last = self.shape.parts(theta)
        return torch.relu(self.x @ first + bias) @ second + last

    def _cross_entropy(self, logits: Tensor) -> Tensor:
        if not self.settings.soft:
            return torch.nn.functional.cross_entropy(logits, self.y)
        return -(torch.softmax(self.labels, 1) * torch.log_softmax(logits, 1)).sum(1).mean()
