"""From a dataset and parameters to what a distiller starts from, and from what it learned to a summary."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worker.contract.context import Context, seed_of
from worker.contract.errors import JobError
from worker.contract.product import Origin
from worker.evidence.distilling import Learned, Validate, learn
from worker.kinds.images.augmentation import COLOUR, DIGITS
from worker.kinds.images.budget import counts_of, image_bytes
from worker.kinds.images.dataset import VALIDATION, Images
from worker.kinds.images.decoder import Decoder
from worker.kinds.images.distillation.candidate import WORDS, Candidate
from worker.kinds.images.distillation.params import DistilParams, FormParams, NetworkParams
from worker.kinds.images.distillation.real import RealImages
from worker.kinds.images.distillation.synthetic import Synthetic
from worker.kinds.images.encoding import Encoding
from worker.kinds.images.fitting import Recipe, train
from worker.kinds.images.image_set import ImageSet, Loss
from worker.kinds.images.networks import Network, build
from worker.kinds.images.parameterisation import Basis, Form, Multiform, Pixels
from worker.kinds.images.predictor import Training
from worker.kinds.images.selection.pickers import candidates, clusters
from worker.kinds.images.summary import ImagesSummary, made
from worker.kinds.images.whitening import LARGEST, whitening
from worker.numerics.seeds import mix

MOST_VALIDATION, STEPS = 2_000, 120
"""Validation images a candidate is scored on, and training steps of the network that is."""


@dataclass(frozen=True)
class Preparation:
    """`counts` (C,): stored items of each class, or images of a basis. `soft`: whether labels are learned, as scores
    for a squared error (`loss` "mse") or as probabilities."""

    data: Images
    params: DistilParams
    ctx: Context
    form: Form
    decoder: Decoder
    counts: np.ndarray
    encoding: Encoding
    soft: bool
    loss: Loss

    @cached_property
    def real(self) -> RealImages:
        """The training images on the device."""

        def tick() -> None:
            self.ctx.progress(0, 1, phase="prepare")

        return RealImages(self.data.train.under(self.encoding), self.ctx.device, tick)

    @property
    def classes(self) -> int:
        """C."""
        return len(self.data.classes)

    @property
    def per_class(self) -> int:
        """Stored items of the largest class."""
        return int(self.counts.max())

    @property
    def width(self) -> int:
        """Channels of a convolution."""
        asked = self.params.width if isinstance(self.params, NetworkParams) else None
        return asked or Training().width_on(self.ctx.device)

    def batch_real(self, usual: int) -> int:
        """Real images of a step: those asked for, or the usual number; half after an attempt ran out of memory."""
        return max(4, (self.params.batch_real or usual) >> self.ctx.degrade)

    def strategy(self, asked: str) -> str:
        """The augmentation that `dsa` asks for."""
        if asked != "auto":
            return asked
        return COLOUR if self.data.shape[0] > 1 else DIGITS

    def network(self, seed: int, **choices: Any) -> Network:
        """A fresh network of the loss on the device."""
        channels, height, width = self.data.shape
        params = self.params
        name = params.network if isinstance(params, NetworkParams) else "convnet"
        if name == "convnet" and isinstance(params, NetworkParams) and params.depth:
            choices["depth"] = params.depth
        if name not in ("convnet", "vgg11", "resnet18"):
            choices.pop("norm", None)
        wide = max(2, self.width * 6 // 32) if name == "lenet" else self.width
        return build(
            name, channels, (height, width), self.classes, seed=seed, device=self.ctx.device, width=wide, **choices
        )

    def synthetic(self, targets: Callable[[Tensor], Tensor] | None = None) -> Synthetic:
        """Where the images start. `targets`: from the class of each stored item (S,) to the learned targets (S, C)."""
        y = np.repeat(np.arange(self.classes), self.counts)
        start = torch.from_numpy(self._start()).to(self.ctx.device)
        there = torch.from_numpy(y).to(self.ctx.device)
        return Synthetic(self.form, self.form.start(start), there, None if targets is None else targets(there))

    def _start(self) -> np.ndarray:
        """Images float32 (S * copies, c, h, w), those of one item after one another."""
        train, parts = self.data.train.under(self.encoding), list[np.ndarray]()
        for one in np.flatnonzero(self.counts):
            self.ctx.progress(0, 1, phase="prepare")
            count = int(self.counts[one]) * self.form.copies
            rng = np.random.default_rng(seed_of(self.ctx.seed, f"start of class {one}"))
            if self.params.init == "noise":
                parts.append(rng.standard_normal((count, *self.data.shape)).astype(np.float32))
                continue
            rows = candidates(train.y, int(one), count, rng)
            if self.params.init == "k-means" and count < len(rows):
                centres, _ = clusters(train.batch(rows).reshape(len(rows), -1), count, rng)
                parts.append(centres.reshape(count, *self.data.shape))
            else:  # a small class fills its tiles by giving images again
                order = np.concatenate([rng.permutation(rows) for _ in range(-(-count // len(rows)))])
                parts.append(train.batch(order[:count]))
        return np.concatenate(parts)

    def images(self, candidate: Candidate) -> ImageSet:
        """The images for training that a candidate comes to, rounded as they would be delivered."""
        return self._summary(candidate, Origin()).images

    def network_validation(self, augmentation: str = "none") -> Validate[Candidate] | None:
        """Scores a candidate by a ConvNet trained on it, on validation images; None where there are none."""
        held = self._held()
        if held is None:
            return None
        recipe = Recipe(STEPS, 1, augmentation=augmentation if augmentation != "none" else "")

        def accuracy(candidate: Candidate, ctx: Context) -> float:
            channels, height, width = self.data.shape
            rate = candidate.rate or recipe.rate  # one that was learned with the images, where there is one
            network = build(
                "convnet", channels, (height, width), self.classes, seed=mix(self.ctx.seed, 11), device=ctx.device,
                width=self.width,
            )  # fmt: skip
            with ctx.part("network", seed=mix(self.ctx.seed, 12)) as part:
                try:
                    fitted = train(network, self.images(candidate), replace(recipe, rate=rate), part)
                except JobError as error:
                    if error.code == "diverged":
                        return 0.0  # a candidate on which nothing can be trained is no good one
                    raise
            return float((fitted.logits(held).argmax(axis=1) == held.y).mean())

        return accuracy

    def _held(self) -> ImageSet | None:
        held = self.data.part(VALIDATION)
        if not len(held):
            return None
        drawn = np.random.default_rng(seed_of(self.ctx.seed, "validation")).permutation(len(held))
        return held.take(np.sort(drawn[:MOST_VALIDATION]))

    def validation_images(self) -> tuple[Tensor, np.ndarray] | None:
        """Validation images float32 (n, c, h, w) on the device and their classes (n,); None where there are none."""
        held = self._held()
        if held is None:
            return None
        return torch.from_numpy(held.under(self.encoding).all()).to(self.ctx.device), held.y

    def learned(self, problem: Any, validate: Validate[Candidate] | None, iterations: int) -> Learned[Candidate]:
        """What comes of the problem."""
        return learn(
            problem, validate, self.ctx, WORDS, steps=iterations, looks=self.params.looks, patience=self.params.patience
        )

    def summary(self, learned: Learned[Candidate], method: str, optimised_for: str, **settings: Any) -> ImagesSummary:
        """The summary that is delivered."""
        origin = Origin(
            method,
            optimised_for=optimised_for,
            settings=self.params.model_dump(exclude_none=True)
            | {"stored": int(self.counts.sum()), "iterations_done": learned.done}
            | settings,
            curve=tuple(learned.history),
            best_step=learned.step,
        )
        return self._summary(learned.best, origin, tuple(self.ctx.warnings))

    def _summary(self, candidate: Candidate, origin: Origin, warnings: tuple[str, ...] = ()) -> ImagesSummary:
        stored = {name: one.detach().float().cpu().numpy() for name, one in candidate.stored.items()}
        copies = self.form.copies
        soft = None if candidate.soft is None else np.repeat(candidate.soft.cpu().numpy(), copies, axis=0)
        return made(
            self.data,
            stored["bases"] if self.decoder.kind == "basis" else stored["x"],
            np.repeat(candidate.y.cpu().numpy(), copies),
            origin,
            encoding=self.encoding,
            soft=soft,
            loss=self.loss if soft is not None else "cross-entropy",
            rate=candidate.rate,
            decoder=self.decoder,
            coefficients=stored.get("coefficients"),
            warnings=warnings,
        )


def prepare(
    data: Images, params: DistilParams, ctx: Context, *, soft: bool = False, loss: Loss = "cross-entropy"
) -> Preparation:
    """What a distiller of these parameters starts from. Raises `JobError` for a size or form that cannot be."""
    ctx.progress(0, 1, phase="prepare")
    counts = counts_of(data, params, bytes_each=_bytes_each(data, params, soft))
    form, decoder, counts = _form(data, params, counts)
    return Preparation(data, params, ctx, form, decoder, counts, _encoding(data, params, ctx), soft, loss)


def _bytes_each(data: Images, params: DistilParams, soft: bool) -> int:
    """Bytes of a stored item and the labels of its images."""
    pixels = 2 * math.prod(data.shape)
    label = image_bytes(data, made=True, soft=soft) - pixels
    tiles = params.factor**2 if isinstance(params, FormParams) and params.parameterisation == "multiform" else 1
    return pixels + tiles * label


def _form(data: Images, params: DistilParams, counts: np.ndarray) -> tuple[Form, Decoder, np.ndarray]:
    """The form, its decoder, and how many items of each class there are; of a basis, images."""
    kind = params.parameterisation if isinstance(params, FormParams) else "pixels"
    if kind == "pixels" or not isinstance(params, FormParams):
        return Pixels(), Decoder(), counts
    height, width = data.shape[1:]
    if params.factor > min(height, width) // 2:
        raise JobError(
            "invalid_input",
            f"factor={params.factor} leaves less than 2 of {min(height, width)} pixels.",
            hint=f"Set factor to at most {max(1, min(height, width) // 2)}.",
            pointer="/params/factor",
        )
    if kind == "multiform":
        return Multiform(params.factor), Decoder("multiform", params.factor), counts
    images = counts * params.basis_images
    pixels = math.prod(data.shape)
    small = data.shape[0] * math.prod(math.ceil(side / params.factor) for side in (height, width))
    bases = int(counts.sum() * pixels // (small + images.sum()))  # the coefficients count, too
    if bases < 1:
        raise JobError(
            "invalid_input",
            "The coefficients alone would take more bytes than the budget.",
            hint="Lower basis_images.",
            pointer="/params/basis_images",
        )
    return Basis(bases, (height, width), params.factor), Decoder("basis", params.factor), images


def _encoding(data: Images, params: DistilParams, ctx: Context) -> Encoding:
    if not params.zca:
        return data.encoding
    numbers = math.prod(data.shape)
    if numbers > LARGEST:
        raise JobError(
            "invalid_input",
            f"Images of {numbers:,} numbers are too large to be whitened; {LARGEST:,} are the most.",
            hint="Set zca to false.",
            pointer="/params/zca",
        )
    plain = Encoding(data.encoding.mean, data.encoding.std)
    return plain.whitened(whitening(data.train.under(plain), lambda: ctx.progress(0, 1, phase="whiten")))
