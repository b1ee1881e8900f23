"""What a distiller learns: stored tensors of a form, their classes, and perhaps soft targets."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from worker.kinds.images.distillation.candidate import Candidate
from worker.kinds.images.parameterisation import Form


class Synthetic:
    """`form` and `y` (S,) are fixed; `stored` and, where given, `targets` (S, C) are leaves that want gradients."""

    def __init__(self, form: Form, stored: Mapping[str, Tensor], y: Tensor, targets: Tensor | None = None) -> None:
        self.form, self.y = form, y
        self.stored = {name: one.detach().clone().requires_grad_(True) for name, one in stored.items()}
        self.targets = None if targets is None else targets.detach().clone().requires_grad_(True)

    @property
    def variables(self) -> dict[str, Tensor]:
        """All that is learned, by name; targets are `labels`."""
        return self.stored | ({} if self.targets is None else {"labels": self.targets})

    def images(self) -> Tensor:
        """Images for training (S * copies, c, h, w), differentiable in what is stored."""
        return self.form.images(self.stored)

    def classes(self) -> Tensor:
        """The class of each image for training, int64 (S * copies,)."""
        return self.y.repeat_interleave(self.form.copies)

    def labels(self) -> Tensor:
        """The targets of each image for training (S * copies, C); where none are learned there are none to ask for."""
        if self.targets is None:
            raise ValueError("nothing but classes is given")
        return self.targets.repeat_interleave(self.form.copies, 0)

    def candidate(self, soft: Tensor | None = None, rate: float | None = None) -> Candidate:
        """As it now stands."""
        return Candidate({name: one.detach() for name, one in self.stored.items()}, self.y, soft, rate)

    def gradients(self, loss: Tensor) -> dict[str, Tensor]:
        """Of a loss, by name."""
        found = torch.autograd.grad(loss, list(self.variables.values()), allow_unused=True)
        return {name: one for name, one in zip(self.variables, found, strict=True) if one is not None}
