"""Adam whose whole state is a few tensors, so that a resume point holds it and the next step is the same to the bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class Adam:
    """Adam (arXiv:1412.6980, algorithm 1) on named tensors, in place. `lr`: step size by name, or one for all."""

    def __init__(self, variables: Mapping[str, Tensor], lr: float | Mapping[str, float], decay: float = 0.0) -> None:
        self.variables = dict(variables)
        self.lr = dict.fromkeys(variables, lr) if isinstance(lr, float) else dict(lr)
        self.decay = decay
        self.first = {name: torch.zeros_like(one) for name, one in variables.items()}
        self.second = {name: torch.zeros_like(one) for name, one in variables.items()}
        self.taken = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def step(self, gradients: Mapping[str, Tensor] | Sequence[Tensor]) -> None:
        """One step on the variables that have a gradient; `decay` times the variable is added to each gradient."""
        named = gradients if isinstance(gradients, Mapping) else dict(zip(self.variables, gradients, strict=True))
        self.taken += 1
        count = int(self.taken)
        for name, gradient in named.items():
            variable, first, second = self.variables[name], self.first[name], self.second[name]
            if self.decay:
                gradient = gradient.add(variable, alpha=self.decay)
            first.lerp_(gradient, 0.1)
            second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            root = (second / (1 - 0.999**count)).sqrt_().add_(1e-8)
            variable.addcdiv_(first, root, value=-self.lr[name] / (1 - 0.9**count))

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Everything that changes, for a resume point: restoring copies into these very tensors."""
        return {
            f"{name}.{part}.{key}": value
            for part, group in (("variable", self.variables), ("first", self.first), ("second", self.second))
            for key, value in group.items()
        } | {f"{name}.taken": self.taken}
