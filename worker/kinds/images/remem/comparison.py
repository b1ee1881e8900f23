"""Ways of fine-tuning compared by what small students learn from the tuned teachers, on held-out images.

One ViT is pretrained, on part of the training images or elsewhere; every way of fine-tuning begins with it and sees the
same images, a slice of the others. Students of plain fine-tuning, of the best other way (chosen by short students on
validation images) and without a teacher are trained with the same seeds, and the test images are looked at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.images.dataset import TEST, VALIDATION, Images
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.needs import TEST_IMAGES
from worker.kinds.images.remem.information import Information, estimate
from worker.kinds.images.remem.students import StudentRecipe, distilled
from worker.kinds.images.remem.tuning import Tuned, TuningRecipe, candidates_of, pretrained
from worker.kinds.images.teachers.teacher import Teacher, some

PLAIN, REMEM, ALONE = "plain", "remem", "alone"
_INFORMED = 4_000  # images that estimates of information learn from


@dataclass(frozen=True)
class Slices:
    """Training images for pretraining (none where a checkpoint is given) and for fine-tuning."""

    pretraining: ImageSet
    tuning: ImageSet


@dataclass(frozen=True)
class Way:
    """A way of fine-tuning, what its teacher tells, and which test images the teacher has right: bool (n,)."""

    tuned: Tuned
    information: Information | None
    right: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """`students`: by name, bool (seeds, n): which test images each student has right. `ways`: all that were tried, the
    plain one first; `best`: the one beside it. `slices`: what was
    trained on; `given`: fine-tuning began with an uploaded network."""

    ways: Sequence[Way]
    best: Tuned
    students: Mapping[str, np.ndarray]
    slices: Slices
    given: bool = False


def slices(data: Images, share: float, count: int, imbalance: float, seed: int) -> Slices:
    """A random `share` of every class's training images for pretraining, and of the others `count` (0: all) for
    fine-tuning, whose classes shrink geometrically from the first to the last, `imbalance` times as rare.

    Raises `JobError` `invalid_input` where no image of a class is left for fine-tuning.
    """
    train, rng = data.train, np.random.default_rng([seed, 17])
    classes = len(data.classes)
    falling = imbalance ** (-np.arange(classes) / max(1, classes - 1))
    first, rest = [], []
    for one in range(classes):
        rows = rng.permutation(np.flatnonzero(train.y == one))
        cut = round(share * len(rows))
        first.append(rows[:cut])
        rest.append(rows[cut:])
    # The largest multiple of the falling shares that every class has images for, and that the count allows.
    most = min(len(rows) / part for rows, part in zip(rest, falling, strict=True))
    if count:
        most = min(most, count / falling.sum())
    kept = [rows[: round(most * part)] for rows, part in zip(rest, falling, strict=True)]
    short = [data.classes[one] for one, rows in enumerate(kept) if not len(rows)]
    if short:
        raise JobError(
            "invalid_input",
            f"No image of the class {short[0]!r} is left for fine-tuning.",
            hint="Raise tune_images, or lower imbalance or pretrain_share.",
            pointer="/params/tune_images",
        )
    return Slices(*(train.take(np.sort(np.concatenate(rows))) for rows in (first, kept)))


def compare(
    data: Images,
    parts: Slices,
    recipe: TuningRecipe,
    student: StudentRecipe,
    seeds: int,
    ctx: Context,
    state: Mapping[str, torch.Tensor] | None = None,
) -> Comparison:
    """Pretrain (or begin with the weights `state`), fine-tune in every way, train students, look at the test images.

    Raises `JobError` `too_few_rows` where there are none.
    """
    held, test = data.part(VALIDATION), data.part(TEST)
    if not len(test):
        raise TEST_IMAGES.refusal()
    with ctx.part("pretraining", 0, 4, label="pretrain", seed=ctx.seed) as part:
        start = pretrained(data, parts.pretraining, recipe, part, state)
    with ctx.part("tuning", 1, 4, seed=ctx.seed) as part:
        found = candidates_of(start, parts.tuning, held, recipe, part)
    plain, best = found[0], _best_other(found)
    students: dict[str, np.ndarray] = {}
    teachers = {PLAIN: plain.network.eval(), REMEM: best.network.eval(), ALONE: None}
    with ctx.part("students", 2, 4) as part:
        for number, (name, teacher) in enumerate(teachers.items()):
            right = []
            for seed in range(seeds):
                at, total = number * seeds + seed, len(teachers) * seeds
                with part.part(f"{name} {seed}", at, total, label="students", seed=ctx.seed + seed) as one:
                    fitted = distilled(teacher, parts.tuning, held, student, one)
                right.append(_right(Teacher(fitted.network, data.encoding, ctx.device), test))
            students[name] = np.stack(right)
    ways = []
    with ctx.part("information", 3, 4) as part:
        for number, one in enumerate(found):
            name = one.candidate.label
            with part.part(name, number, len(found), label="estimate information", seed=ctx.seed) as inner:
                teacher = Teacher(one.network.eval(), data.encoding, ctx.device)
                ways.append(Way(one, _information(teacher, parts.tuning, held, inner), _right(teacher, test)))
    return Comparison(ways, best, students, parts, given=state is not None)


def _best_other(found: Sequence[Tuned]) -> Tuned:
    """Of all ways but the plain one, the first, that whose short student does best on validation."""
    return max(found[1:], key=lambda one: -1.0 if np.isnan(one.student) else one.student)


def _right(teacher: Teacher, asked: ImageSet) -> np.ndarray:
    return teacher.logits(asked).argmax(axis=1) == asked.y


def _information(teacher: Teacher, images: ImageSet, held: ImageSet, ctx: Context) -> Information | None:
    """What the teacher's logits say of validation images; None where there are fewer than 2 of them."""
    if len(held) < 2:
        return None
    seen, asked = some(images, _INFORMED, ctx.seed), some(held, _INFORMED // 2, ctx.seed)
    x = torch.from_numpy(np.concatenate([seen.all(), asked.all()])).to(ctx.device)
    logits = np.concatenate([teacher.logits(seen), teacher.logits(asked)])
    return estimate(x, logits, np.concatenate([seen.y, asked.y]), len(asked), ctx)


def difference(a: np.ndarray, b: np.ndarray, resamples: int, seed: int) -> tuple[float, float, float]:
    """Mean of a - b in points, bool (seeds, n) each, and its 95 % interval by a bootstrap over images and seeds."""
    each = 100 * (a.astype(np.float64) - b)
    rng = np.random.default_rng([seed, 12])
    means = []
    for _ in range(resamples):
        seeds, images = rng.integers(0, each.shape[0], each.shape[0]), rng.integers(0, each.shape[1], each.shape[1])
        means.append(each[seeds].mean(axis=0)[images].mean())
    low, high = np.quantile(means, (0.025, 0.975))
    return float(each.mean()), float(low), float(high)
