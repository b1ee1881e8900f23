"""The labels of images: a teacher's answers, as probabilities as soft as teaches a small network best, or as logits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from worker.contract.context import Context
from worker.kinds.images.dataset import VALIDATION, Images
from worker.kinds.images.image_set import ImageSet, Loss
from worker.kinds.images.networks import build
from worker.kinds.images.teachers.soft_labels import cross_entropy, softened
from worker.kinds.images.teachers.teacher import Teacher, accuracy_on, some
from worker.kinds.images.teachers.training import Recipe, train

TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
_PROXY_STEPS, _PROXY_WIDTH, _PROXY_HELD = 100, 16, 2_000


@dataclass(frozen=True)
class Labels:
    """`soft`: float32 (n, C), to be learned by `loss`; `temperature` that logits were divided by; `tried`: accuracy by
    temperature on validation images of small networks that were trained on them, empty where nothing was chosen."""

    soft: np.ndarray
    loss: Loss
    temperature: float
    tried: tuple[Mapping[str, float], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What settings of an origin say of them."""
        return {"temperature": self.temperature, "temperatures_tried": [dict(one) for one in self.tried]}


def labelled(
    data: Images,
    images: ImageSet,
    teacher: Teacher,
    form: Literal["soft", "logits"],
    temperature: float | None,
    ctx: Context,
) -> Labels:
    """The teacher's labels of images in this form.

    Logits are centred, image by image (softmax does not see what that takes away), and divided by the temperature, or
    without one by their standard deviation, so that one step size suits the squared error of all. Of probabilities
    without a temperature the one is taken whose labels teach a small network best, the lowest of equal ones; without
    validation images 1.
    """
    logits = torch.from_numpy(teacher.logits(images, ctx))
    if form == "logits":
        centred = logits - logits.mean(dim=1, keepdim=True)
        scale = max(float(centred.square().mean().sqrt()), 1e-6) if temperature is None else temperature
        return Labels(_rounded(centred / scale), "logits", scale)
    held = some(data.part(VALIDATION), _PROXY_HELD, ctx.seed)
    if temperature is not None or not len(held):
        if temperature is None:
            ctx.warn("There are no validation images: soft labels have temperature 1.")
        chosen = 1.0 if temperature is None else temperature
        return Labels(_stored(logits, chosen), "cross-entropy", chosen)
    tried: list[dict[str, float]] = []
    for number, one in enumerate(TEMPERATURES):
        with ctx.part(
            f"temperature {one:g}", number, len(TEMPERATURES), label="choose temperature", seed=ctx.seed
        ) as part:
            accuracy = _proxy(replace(images, soft=_stored(logits, one)), held, part)
        tried.append({"temperature": one, "validation_accuracy": accuracy})
    best = max(tried, key=lambda one: one["validation_accuracy"])["temperature"]
    return Labels(_stored(logits, best), "cross-entropy", best, tuple(tried))


def _stored(logits: Tensor, temperature: float) -> np.ndarray:
    return _rounded(softened(logits, temperature))


def _rounded(labels: Tensor) -> np.ndarray:
    """Labels in the half precision that they are delivered in."""
    return labels.half().float().numpy()


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
