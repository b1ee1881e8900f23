"""Crops of real images that a teacher recognises best, with its soft labels: nothing is optimised (RDED).

Sun et al., "On the Diversity and Realism of Distilled Dataset: An Efficient Dataset Distillation Paradigm", CVPR 2024,
arXiv:2312.03526. Of every class some candidates are drawn, of each some random crops; the teacher's loss with the true
class picks the best crop of an image, then the best images; `factor` f puts f x f of them, shrunk, on a canvas.
O(classes x candidates x crops) answers of the teacher, beside its training.

Departures from the published code: a canvas is cut into its tiles again and each is enlarged to an image of its own, so
that tiles are judged, labelled and learned from in one form (published: the mosaic is the image, students see random
crops of it, and tiles are padded with zeros when they are judged); one label a tile is stored instead of a teacher that
is asked for every batch; and the choice is kept honest by labels and images of random ones beside it in every report.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.images.budget import SizeParams, counts_of, image_bytes
from worker.kinds.images.dataset import Images
from worker.kinds.images.decoder import Decoder
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.selection.pickers import candidates
from worker.kinds.images.summary import ImagesSummary
from worker.kinds.images.teachers.cost import TEACHER
from worker.kinds.images.teachers.params import TeacherParams


class RDEDParams(SizeParams, TeacherParams):
    """Parameters of `rded`."""

    candidates: int = Field(300, ge=1, le=100_000, description="Images of every class whose crops are looked at.")
    crops: int = Field(5, ge=1, le=100, description="Random crops of each of them.")
    least_area: float = Field(
        0.8, gt=0, le=1, description="Least share of an image's square that a crop covers; 1: the whole of it."
    )
    factor: int = Field(
        1, ge=1, le=4, description="Tiles along a side of a canvas, each an image of its own, enlarged."
    )


@method(
    kind="images",
    task="distil",
    name="rded",
    version=1,
    paper="arXiv:2312.03526",
    device="any",
    memory_mb=2048,
    cost=Cost(seconds=(Term(2.0), *TEACHER, Term(3e-4, {"params.candidates": 1, "params.crops": 1, "classes": 1}))),
)
def rded(data: Images, params: RDEDParams, ctx: Context) -> ImagesSummary:
    """The crops of real images that a teacher recognises best, with its soft labels; nothing is optimised."""
    from worker.kinds.images.labelling import labeller  # torch, which listing methods does not need
    from worker.kinds.images.teachers.crops import tile_side, tiled
    from worker.kinds.images.teachers.labels import labelled

    c, height, width = data.shape
    if params.factor > 1:
        tile_side(height, params.factor)
        tile_side(width, params.factor)
    each = params.factor**2
    label_bytes = image_bytes(data, soft=True) - c * height * width
    counts = counts_of(data, params, bytes_each=c * height * width + each * label_bytes)
    with ctx.part("teacher", 0, 3, label="train the teacher", seed=ctx.seed) as part:
        teacher = labeller(data, params, part)
    with ctx.part("crops", 1, 3, label="judge crops", seed=ctx.seed) as part:
        tiles, y = _best(data, counts * each, params, teacher, part)
    canvases = tiled(tiles, params.factor)
    summary = ImagesSummary(
        canvases,
        y,
        data.classes,
        data.encoding,
        data.shape,
        np.ones(len(y), np.float32),
        decoder=Decoder("multiform", params.factor) if params.factor > 1 else Decoder(),
    )
    with ctx.part("labels", 2, 3, label="label", seed=ctx.seed) as part:
        labels = labelled(data, summary.images, teacher, params.temperature, part)
    settings = params.model_dump(exclude_none=True) | labels.to_json() | teacher.to_json()
    return replace(
        summary, soft=labels.soft, origin=Origin("rded", settings=settings), warnings=tuple(ctx.warnings)
    )
