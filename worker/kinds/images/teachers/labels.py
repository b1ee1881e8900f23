"""The soft labels of images: a teacher's answers, as soft as teaches a small network best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worker.contract.context import Context
from worker.kinds.images.dataset import VALIDATION, Images
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.networks import build
from worker.kinds.images.teachers.soft_labels import cross_entropy, softened
from worker.kinds.images.teachers.teacher import Teacher, accuracy_on, some
from worker.kinds.images.teachers.training import Recipe, train

TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
_PROXY_STEPS, _PROXY_WIDTH, _PROXY_HELD = 100, 16, 2_000


@dataclass(frozen=True)
class Labels:
    """`soft`: float32 (n, C); `temperature` they were softened with; `tried`: accuracy by temperature on validation
    images of small networks that were trained on them, empty where nothing was chosen."""

    soft: np.ndarray
    temperature: float
    tried: tuple[Mapping[str, float], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What settings of an origin say of them."""
        return {"temperature": self.temperature, "temperatures_tried": [dict(one) for one in self.tried]}


def labelled(data: Images, images: ImageSet, teacher: Teacher, temperature: float | None, ctx: Context) -> Labels:
    """The teacher's labels of images; without a temperature, the one whose labels teach a small network best.

    Of equal ones the lowest is taken; without validation images 1.
    """
    logits = torch.from_numpy(teacher.logits(images, ctx))
    held = some(data.part(VALIDATION), _PROXY_HELD, ctx.seed)
    if temperature is not None or not len(held):
        if temperature is None:
            ctx.warn("There are no validation images: soft labels have temperature 1.")
        chosen = 1.0 if temperature is None else temperature
        return Labels(_stored(logits, chosen), chosen)
    tried: list[dict[str, float]] = []
    for number, one in enumerate(TEMPERATURES):
        with ctx.part(
            f"temperature {one:g}", number, len(TEMPERATURES), label="choose temperature", seed=ctx.seed
        ) as part:
            accuracy = _proxy(replace(images, soft=_stored(logits, one)), held, part)
        tried.append({"temperature": one, "validation_accuracy": accuracy})
    best = max(tried, key=lambda one: one["validation_accuracy"])["temperature"]
    return Labels(_stored(logits, best), best, tuple(tried))


def _stored(logits: Tensor, temperature: float) -> np.ndarray:
    """Labels rounded to the half precision that they are delivered in."""
    return softened(logits, temperature).half().float().numpy()


def _proxy(images: ImageSet, held: ImageSet, ctx: Context) -> float:
    """Validation accuracy of a small ConvNet trained for some steps on labelled images."""
    channels, height, width = images.shape
    network = build("convnet", channels, (height, width), images.classes, seed=ctx.seed, width=_PROXY_WIDTH)
    whole = len(images) <= 4096
    x = torch.from_numpy(images.all()) if whole else None
    soft = torch.from_numpy(images.targets())

    def batch(rows: np.ndarray, _: torch.Generator) -> tuple[Tensor, Tensor]:
        seen = torch.from_numpy(images.batch(rows)) if x is None else x[rows]
        return seen.to(ctx.device), soft[rows].to(ctx.device)

    epochs = max(1, math.ceil(_PROXY_STEPS * 128 / max(128, len(images))))
    fitted = train(network, len(images), batch, cross_entropy, Recipe(epochs, 128, 0.02), None, ctx)
    with torch.no_grad():
        return accuracy_on(held, ctx)(fitted.network)
