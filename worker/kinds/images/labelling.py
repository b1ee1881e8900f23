"""Who labels the images of a summary: methods and their judge come here alike, so that random images get their labels
from the very teacher that labelled a summary."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.product import Origin
from worker.kinds.images.dataset import Images
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.remem import tuning
from worker.kinds.images.remem.students import StudentRecipe
from worker.kinds.images.remem.tuning import Candidate, TuningRecipe
from worker.kinds.images.summary import ImagesSummary, of_pixels
from worker.kinds.images.teachers import teacher as networks
from worker.kinds.images.teachers.labels import labelled
from worker.kinds.images.teachers.params import Preset, TeacherParams
from worker.kinds.images.teachers.teacher import Teacher, TeacherRecipe
from worker.kinds.images.uploaded_network import TEACHER, UploadedNetwork
from worker.kinds.images.views import Views

_VIEWS: Mapping[Preset, int] = {"quick": 150_000, "standard": 750_000, "paper": 3_000_000}  # images a teacher sees
_EPOCHS = (3, 40)
_QUICK = (Candidate(), Candidate(0.05, 0.25))
_GRID = tuple(Candidate(rho, scale) for scale in (1.0, 0.5, 0.25, 0.0) for rho in (0.0, 0.05, 0.1))


def labeller(data: Images, params: TeacherParams, ctx: Context) -> Teacher:
    """The teacher that parameters name; for the same version, parameters and seed the same one every time."""
    if params.teacher == "remem":
        return tuning.taught(data, tuning_recipe(params, len(data.train)), ctx, given_state(ctx))
    return convolutional(data, params, ctx)


def given_state(ctx: Context) -> dict[str, Tensor] | None:
    """The weights that a job was given as the input `teacher`, None for none.

    Raises `JobError` `invalid_input` where it is a version with images.
    """
    given = ctx.inputs.get(TEACHER.name)
    if given is None:
        return None
    if not isinstance(given, UploadedNetwork):
        raise JobError(
            "invalid_input",
            "What was given as the teacher holds images and no network.",
            hint="Upload the state dict of a Vision Transformer of timm as one safetensors file.",
            pointer="/inputs/teacher",
        )
    return given.state()


def convolutional(data: Images, params: TeacherParams, ctx: Context) -> Teacher:
    """The network with batch norms that parameters name, a ConvNet where they name none."""
    return networks.taught(data, teacher_recipe(params, len(data.train)), ctx)


def teacher_recipe(params: TeacherParams, images: int) -> TeacherRecipe:
    """How a convolutional teacher for so many training images is trained."""
    name: Any = "convnet" if params.teacher == "remem" else params.teacher
    return TeacherRecipe(name, params.teacher_width, "batch", _epochs(params, images, 1.0))


def tuning_recipe(params: TeacherParams, images: int) -> TuningRecipe:
    """How a ViT is pretrained and fine-tuned on so many training images: half and a sixth of the views of a ConvNet."""
    return TuningRecipe(
        width=2 * params.teacher_width,
        pretraining=_epochs(params, images, 0.5),
        tuning=max(1, _epochs(params, images, 0.5) // 3),
        candidates=_QUICK if params.preset == "quick" else _GRID,
        student=StudentRecipe(width=16, epochs=4),
    )


def _epochs(params: TeacherParams, images: int, share: float) -> int:
    least, most = _EPOCHS
    views = share * _VIEWS[params.preset]
    return params.teacher_epochs or min(most, max(least, math.ceil(views / max(1, images))))


def with_labels(
    data: Images, summary: ImagesSummary, teacher: Teacher, params: TeacherParams, ctx: Context
) -> ImagesSummary:
    """A summary with the teacher's label of every view of its images, in the form that parameters name; its origin
    tells of them, too. `ctx` needs the seed of the job, which the views are drawn by."""
    summary = replace(summary, views=Views(params.views, ctx.seed % 2**32))
    labels = labelled(data, summary.images, teacher, params.labels, params.temperature, ctx)
    settings = dict(summary.origin.settings) | labels.to_json() | teacher.to_json()
    origin = replace(summary.origin, settings=settings)
    return replace(summary, soft=labels.soft, loss=labels.loss, origin=origin, warnings=tuple(ctx.warnings))


def control(data: Images, draws: Sequence[ImageSet], settings: Mapping[str, Any], ctx: Context) -> list[ImagesSummary]:
    """Draws of real images, of one size, with soft labels: what a summary is compared with.

    The teacher, the views and the form of the labels are those that the settings of the summary name; where they name
    none, a usual teacher gives every image one label in probabilities. The temperature is chosen for the first draw, as
    it is for a summary. `ctx` needs the seed of the job.
    """
    named = {name: settings[name] for name in TeacherParams.model_fields if name in settings}
    params = TeacherParams.model_validate({"labels": "soft", "views": 1} | named | {"temperature": None})
    with ctx.part("teacher", 0, 2, label="train the teacher", seed=ctx.seed) as part:
        teacher = labeller(data, params, part)
    found: list[ImagesSummary] = []
    for number, images in enumerate(draws):
        with ctx.part(f"labels {len(images)} {number}", 1, 2, label="label random images", seed=ctx.seed) as part:
            plain = of_pixels(data, images.pixels(np.arange(len(images))), images.y, Origin("softlabel"))
            found.append(with_labels(data, plain, teacher, params, part))
        params = params.model_copy(update={"temperature": found[0].origin.settings["temperature"]})
    return found
