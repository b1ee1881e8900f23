"""A teacher: a network trained on the training part once, and asked by every method that needs one.

Its weights are remembered under a key of all that they depend on, so that a second method, a later job, or the judge,
which labels random images with the same teacher, trains nothing again. Its state is chosen on validation images; test
images are never looked at.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from worker.contract.context import Context
from worker.kinds.images.augmentation import augment
from worker.kinds.images.dataset import VALIDATION, Images
from worker.kinds.images.encoding import Encoding
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.networks import Norm, build
from worker.kinds.images.teachers.training import Batch, Recipe, train

VERSION = 1  # raised when the same recipe would give another teacher
AUGMENTATION = "crop_scale_rotate"
"""What teachers see of an image: no flips and no colours, so that it is right for digits, too."""
_AHEAD = 512  # images asked at once


@dataclass(frozen=True)
class TeacherRecipe:
    """A network by its name and how it is trained; `images`: on so many random training images, 0 for all."""

    network: Literal["convnet", "resnet18", "vgg11"] = "convnet"
    width: int = 32
    norm: Norm = "batch"
    epochs: int = 10
    rate: float = 0.02
    batch: int = 128
    images: int = 0

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Teacher:
    """A trained network in evaluation mode and what it reads; `validation`: its accuracy there, nan where unknown."""

    network: nn.Module
    encoding: Encoding
    device: str
    validation: float = math.nan

    def to_json(self) -> dict[str, float]:
        """What settings of an origin say of it."""
        return {} if math.isnan(self.validation) else {"teacher_validation_accuracy": self.validation}

    @torch.no_grad()
    def logits(self, images: ImageSet, ctx: Context | None = None) -> np.ndarray:
        """float32 (n, C) of images as they are stored; progress is told to `ctx`."""
        found = [np.zeros((0, images.classes), np.float32)]
        for start in range(0, len(images), _AHEAD):
            if ctx is not None:
                ctx.progress(start, len(images), phase="ask the teacher")
            found.append(self.answers(images.batch(np.arange(start, min(start + _AHEAD, len(images))))))
        return np.concatenate(found)

    @torch.no_grad()
    def answers(self, x: np.ndarray | Tensor) -> np.ndarray:
        """Logits float32 (n, C) of images (n, c, h, w) as networks see them."""
        given = torch.as_tensor(x).to(self.device)
        parts = [self.network(part) for part in given.split(_AHEAD)]
        return torch.cat(parts).float().cpu().numpy()


def taught(data: Images, recipe: TeacherRecipe, ctx: Context) -> Teacher:
    """The teacher of this recipe: recalled, found among the resume points, or trained now."""
    channels, height, width = data.shape
    seed = ctx.seed
    network = build(
        recipe.network, channels, (height, width), len(data.classes), seed=seed, device=ctx.device,
        width=recipe.width, norm=recipe.norm,
    )  # fmt: skip
    return remembered(data, network, recipe.to_json(), ctx, lambda part: _train(data, network, recipe, part))


def remembered(data: Images, network: nn.Module, about: Mapping[str, Any], ctx: Context, make: Any) -> Teacher:
    """The teacher whose weights some job has remembered for this version, description and seed; else what
    `make(ctx)` -> (network, validation accuracy) gives, which is then remembered."""
    key = _key(data, about, ctx)
    if (known := ctx.recall(key)) is not None:
        network.load_state_dict({name: torch.from_numpy(value) for name, value in known.arrays.items()})
        validation = known.state["validation"]
        return Teacher(
            network.to(ctx.device).eval(), data.encoding, ctx.device, math.nan if validation is None else validation
        )
    with ctx.part(f"train {key[-12:]}", label="train the teacher", seed=ctx.seed) as part:
        network, validation = make(part)  # a resume point is of this key alone
    if not ctx.out_of_time():  # one that the time limit cut short is not what the key says
        state = {"validation": None if math.isnan(validation) else validation}
        ctx.remember(key, {name: value.cpu() for name, value in network.state_dict().items()}, state)
    return Teacher(network.eval(), data.encoding, ctx.device, validation)


def _train(data: Images, network: nn.Module, recipe: TeacherRecipe, ctx: Context) -> tuple[nn.Module, float]:
    images = some(data.train, recipe.images, ctx.seed)
    held = data.part(VALIDATION)
    if not len(held):
        ctx.warn("There are no validation images: the teacher's last epoch is used, not its best.")
    fitted = train(
        network,
        len(images),
        plain_batches(images, ctx.device),
        nn.functional.cross_entropy,
        Recipe(recipe.epochs, recipe.batch >> ctx.degrade, recipe.rate, warmup=0.05),
        accuracy_on(held, ctx) if len(held) else None,
        ctx,
    )
    return fitted.network, fitted.validation


def some(images: ImageSet, count: int, seed: int) -> ImageSet:
    """So many random ones of them, in order; 0 for all."""
    if not count or count >= len(images):
        return images
    return images.take(np.sort(np.random.default_rng([seed, 71]).permutation(len(images))[:count]))


def plain_batches(images: ImageSet, device: str) -> Batch:
    """Augmented images with their classes."""
    y = torch.from_numpy(images.y)

    def batch(rows: np.ndarray, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.from_numpy(images.batch(rows))
        return augment(x, AUGMENTATION, generator).to(device), y[rows].to(device)

    return batch


def accuracy_on(images: ImageSet, ctx: Context) -> Any:
    """`network -> accuracy` (0 to 1) on images."""

    def accuracy(network: nn.Module) -> float:
        said = Teacher(network, images.encoding, ctx.device).logits(images).argmax(axis=1)
        return float((said == images.y).mean())

    return accuracy


def _key(data: Images, about: Mapping[str, Any], ctx: Context) -> str:
    """What weights are remembered under: a hash of all that they depend on."""
    train = data.train
    digest = hashlib.sha256(ctx.content.encode())
    if not ctx.content:  # in a notebook: of the images themselves
        digest.update(np.ascontiguousarray(train.stored(np.arange(len(train)))).tobytes())
        digest.update(train.y.tobytes())
    digest.update(json.dumps([VERSION, dict(about), ctx.seed, ctx.device], sort_keys=True).encode())
    return f"images/teacher/{digest.hexdigest()}"
