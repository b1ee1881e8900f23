"""Fine-tuning a Vision Transformer as ReMem does, and choosing how by what students learn from it.

ReMem (Dong, Gui, Sachdeva et al., arXiv:2506.23041): strong teachers help small students less than they should, since
fine-tuning makes their answers say little of the image but its class. Two remedies: sharpness-aware minimisation
(radius rho), and scaling the MLPs of the upper blocks down (b) where the set is small or unbalanced. The paper's code
is not published; sizes, grids and the choice are ours: every (rho, b) is tried, and the one is taken whose short
student does best on validation images, ties to the earlier one.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.images.dataset import VALIDATION, Images
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.networks.vit import ViT, ViTShape, fresh_vit
from worker.kinds.images.remem.reweighting import fold, top_scales, usual_top
from worker.kinds.images.remem.students import StudentRecipe, distilled
from worker.kinds.images.teachers.checkpoint import vit_of
from worker.kinds.images.teachers.teacher import Teacher, accuracy_on, plain_batches, remembered, some
from worker.kinds.images.teachers.training import Fitted, Recipe, train


@dataclass(frozen=True)
class Candidate:
    """A way of fine-tuning: `rho` of sharpness-aware minimisation, `scale` b of the upper MLPs."""

    rho: float = 0.0
    scale: float = 1.0

    @property
    def plain(self) -> bool:
        """Whether it is ordinary fine-tuning."""
        return self.rho == 0 and self.scale == 1

    @property
    def label(self) -> str:
        """What it is called in reports."""
        parts = [f"SAM {self.rho:g}"] if self.rho else []
        parts += [f"MLPs x {self.scale:g}"] if self.scale != 1 else []
        return " and ".join(parts) or "plain"


@dataclass(frozen=True)
class TuningRecipe:
    """`width`, `depth`, `heads`, `patch` (0: one that leaves 8 along the side or fewer): of a ViT that is made here;
    `pretraining` and `tuning`: epochs; `top`: upper blocks whose MLPs are scaled, 0 for a quarter; `candidates`: what
    is tried; `student`: who tells which is best; `student_images`: on so many."""

    width: int = 64
    depth: int = 4
    heads: int = 4
    patch: int = 0
    pretraining: int = 10
    tuning: int = 5
    rate: float = 1e-3
    tuning_rate: float = 3e-4
    top: int = 0
    candidates: tuple[Candidate, ...] = (Candidate(), Candidate(0.05), Candidate(scale=0.25), Candidate(0.05, 0.25))
    student: StudentRecipe = field(default_factory=lambda: StudentRecipe(width=16, epochs=4))
    student_images: int = 5_000

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned ViT: its validation accuracy (nan where there is none), and that of its short student."""

    candidate: Candidate
    network: ViT
    validation: float
    student: float = math.nan


def patch_for(side: int) -> int:
    """The smallest divisor of the side, from 2 on, that leaves 8 patches along it or fewer."""
    return next(one for one in range(2, side + 1) if side % one == 0 and side // one <= 8)


def shape_for(data: Images, recipe: TuningRecipe) -> ViTShape:
    """The ViT of a recipe for these images. Raises `JobError` `invalid_input` where it cannot cut them into patches."""
    channels, height, width = data.shape
    if height != width:
        raise JobError(
            "invalid_input",
            f"A ViT needs square images; these are {width} x {height} pixels.",
            hint="Upload them again with a resize, or choose another teacher.",
            pointer="/params/teacher",
        )
    patch = recipe.patch or patch_for(height)
    return ViTShape(
        channels, height, len(data.classes), patch, recipe.width, recipe.depth, recipe.heads, 4 * recipe.width
    )


def pretrained(
    data: Images, images: ImageSet, recipe: TuningRecipe, ctx: Context, state: Mapping[str, torch.Tensor] | None = None
) -> ViT:
    """Where fine-tuning begins: a ViT trained plainly on `images`, or the weights of a checkpoint."""
    begin = _begin(data, recipe, ctx.seed, state)
    if state is not None:
        return begin
    plan = Recipe(recipe.pretraining, 128 >> ctx.degrade, recipe.rate, "adamw", 0.05, warmup=0.1)
    _trained(begin, images, data.part(VALIDATION), plan, ctx)
    return begin


def tuned(
    start: ViT, candidate: Candidate, images: ImageSet, held: ImageSet, recipe: TuningRecipe, ctx: Context
) -> Tuned:
    """The ViT `start` fine-tuned on `images` in one way; `start` itself stays as it is."""
    network = copy.deepcopy(start)
    depth = network.shape.depth
    network.scale_mlps(top_scales(depth, recipe.top or usual_top(depth), candidate.scale))
    plan = Recipe(recipe.tuning, 128 >> ctx.degrade, recipe.tuning_rate, "adamw", 0.05, 0.1, candidate.rho)
    fitted = _trained(network, images, held, plan, ctx)
    return Tuned(candidate, network, fitted.validation)


def _trained(network: ViT, images: ImageSet, held: ImageSet, plan: Recipe, ctx: Context) -> Fitted:
    validate = accuracy_on(held, ctx) if len(held) else None
    return train(
        network, len(images), plain_batches(images, ctx.device), nn.functional.cross_entropy, plan, validate, ctx
    )


def candidates_of(start: ViT, images: ImageSet, held: ImageSet, recipe: TuningRecipe, ctx: Context) -> list[Tuned]:
    """Every candidate fine-tuned from `start`, with the validation accuracy of a short student of it."""
    found = []
    total = 2 * len(recipe.candidates)
    for number, candidate in enumerate(recipe.candidates):
        name = f"rho {candidate.rho:g} scale {candidate.scale:g}"
        # The same draws for all candidates: what differs is then the candidate's doing.
        with ctx.part(f"tune {name}", 2 * number, total, label="fine-tune", seed=ctx.seed) as part:
            one = tuned(start, candidate, images, held, recipe, part)
        with ctx.part(f"student {name}", 2 * number + 1, total, label="short student", seed=ctx.seed) as part:
            short = some(images, recipe.student_images, part.seed)
            student = distilled(one.network.eval(), short, held, recipe.student, part)
        found.append(replace(one, student=student.validation))
    return found


def best_of(found: Sequence[Tuned]) -> Tuned:
    """The one whose short student does best; without validation images the first, which is the plainest."""
    able = [one for one in found if not math.isnan(one.student)]
    return max(able, key=lambda one: one.student) if able else found[0]


def taught(
    data: Images, recipe: TuningRecipe, ctx: Context, state: Mapping[str, torch.Tensor] | None = None
) -> Teacher:
    """A teacher for soft labels: pretrained and fine-tuned on the training part, in the way whose student does best.

    `state`: a checkpoint to begin with. What is kept is a plain ViT, the scales of its MLPs folded in.
    """
    held = data.part(VALIDATION)

    def make(ctx: Context) -> tuple[nn.Module, float]:
        with ctx.part("pretraining", 0, 2, label="pretrain the teacher", seed=ctx.seed) as part:
            start = pretrained(data, data.train, recipe, part, state)
        with ctx.part("tuning", 1, 2, seed=ctx.seed) as part:
            best = best_of(candidates_of(start, data.train, held, recipe, part))
        fold(best.network)
        return best.network, best.validation

    begin = _begin(data, recipe, ctx.seed, state)
    return remembered(data, begin, {"network": "remem", "begin": _digest(state)} | recipe.to_json(), ctx, make)


def _begin(data: Images, recipe: TuningRecipe, seed: int, state: Mapping[str, torch.Tensor] | None) -> ViT:
    shape = shape_for(data, recipe)
    if state is None:
        return fresh_vit(shape, seed)
    return vit_of(state, side=shape.side, classes=shape.classes, channels=shape.channels, seed=seed)


def _digest(state: Mapping[str, torch.Tensor] | None) -> str:
    """A hash of a checkpoint, "" for none."""
    if state is None:
        return ""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
