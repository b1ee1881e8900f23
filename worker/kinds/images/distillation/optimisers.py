"""Optimisers whose whole state is a few tensors, so that a resume point holds it and the next step is the same bits.

SGD with momentum, Adam (arXiv:1412.6980), AdaBelief (arXiv:2010.07468: the second moment is of g - m), LAMB
(arXiv:1904.00962: Adam's step scaled to the norm of the tensor it moves).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Rule = Literal["sgd", "adam", "adabelief", "lamb"]


class Optimiser:
    """Moves named tensors in place. `lr`: step size by name, or one for all. `decay`: decoupled weight decay."""

    def __init__(
        self,
        variables: Mapping[str, Tensor],
        lr: float | Mapping[str, float],
        rule: Rule = "adam",
        *,
        momentum: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        decay: float = 0.0,
    ) -> None:
        self.variables = dict(variables)
        self.lr = dict(lr) if isinstance(lr, Mapping) else dict.fromkeys(variables, lr)
        self.rule, self.momentum, self.betas, self.eps, self.decay = rule, momentum, betas, eps, decay
        self.first = {name: torch.zeros_like(one) for name, one in variables.items()}
        self.second = {} if rule == "sgd" else {name: torch.zeros_like(one) for name, one in variables.items()}
        self.taken = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def step(self, gradients: Mapping[str, Tensor], share: float = 1.0) -> None:
        """One step on the variables that have a gradient here, of a share of the step sizes."""
        self.taken += 1
        for name, gradient in gradients.items():
            variable = self.variables[name]
            if self.decay:
                variable.mul_(1 - share * self.lr[name] * self.decay)
            variable.sub_(self._direction(name, gradient), alpha=share * self.lr[name])

    def _direction(self, name: str, gradient: Tensor) -> Tensor:
        first = self.first[name]
        if self.rule == "sgd":
            return first.mul_(self.momentum).add_(gradient)
        second, count = self.second[name], int(self.taken)
        first.lerp_(gradient, 1 - self.betas[0])
        spread = gradient - first if self.rule == "adabelief" else gradient
        second.mul_(self.betas[1]).addcmul_(spread, spread, value=1 - self.betas[1])
        if self.rule == "adabelief":
            second.add_(self.eps)
        root = (second / (1 - self.betas[1] ** count)).sqrt_().add_(self.eps)
        move = first / (1 - self.betas[0] ** count) / root
        if self.rule == "lamb":
            here, there = self.variables[name].norm(), move.norm()
            if here > 0 and there > 0:
                move = move * (here / there)
        return move

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Everything that changes, for a resume point: restoring copies into these very tensors."""
        return {
            f"{name}.{part}.{key}": value
            for part, group in (("variable", self.variables), ("first", self.first), ("second", self.second))
            for key, value in group.items()
        } | {f"{name}.taken": self.taken}
