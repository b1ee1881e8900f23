"""Small students that learn from a teacher's answers: what a teacher is worth to whoever distils it.

Teacher and student see the same augmented view (Beyer et al., "A good teacher is patient and consistent",
arXiv:2106.05237), so that answers are asked anew for every batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from worker.contract.context import Context
from worker.kinds.images.augmentation import augment
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.networks import build
from worker.kinds.images.teachers.soft_labels import distillation_loss
from worker.kinds.images.teachers.teacher import AUGMENTATION, accuracy_on
from worker.kinds.images.teachers.training import Fitted, Recipe, train


@dataclass(frozen=True)
class StudentRecipe:
    """A ConvNet of `width` channels, trained for `epochs`; `share` a of its loss is the teacher's, at `temperature`."""

    width: int = 32
    epochs: int = 20
    share: float = 0.9
    temperature: float = 4.0
    rate: float = 0.02
    batch: int = 128


def distilled(
    teacher: nn.Module | None, images: ImageSet, held: ImageSet, recipe: StudentRecipe, ctx: Context
) -> Fitted:
    """A student of a teacher in evaluation mode on these images; without a teacher, one of their classes alone.

    Its best state is chosen on `held` where there are any.
    """
    channels, height, width = images.shape
    network = build("convnet", channels, (height, width), images.classes, seed=ctx.seed, width=recipe.width)
    y = torch.from_numpy(images.y)

    def batch(rows: np.ndarray, generator: torch.Generator) -> tuple[Tensor, tuple[Tensor, Tensor | None]]:
        x = augment(torch.from_numpy(images.batch(rows)), AUGMENTATION, generator).to(ctx.device)
        with torch.no_grad():
            answers = None if teacher is None else teacher(x)
        return x, (y[rows].to(ctx.device), answers)

    def loss(logits: Tensor, given: tuple[Tensor, Tensor | None]) -> Tensor:
        of, answers = given
        if answers is None:
            return nn.functional.cross_entropy(logits, of)
        return distillation_loss(logits, answers, of, recipe.share, recipe.temperature)

    plan = Recipe(recipe.epochs, recipe.batch >> ctx.degrade, recipe.rate, warmup=0.05)
    return train(network, len(images), batch, loss, plan, accuracy_on(held, ctx) if len(held) else None, ctx)
