"""Crops of real images that a teacher recognises best, with its soft labels: nothing is optimised (RDED).

Sun et al., "On the Diversity and Realism of Distilled Dataset: An Efficient Dataset Distillation Paradigm", CVPR 2024,
arXiv:2312.03526. Of every class some candidates are drawn, of each some random crops; the teacher's loss with the true
class picks the best crop of an image, then the best images; `factor` f puts f x f of them, shrunk, on a canvas.
O(classes x candidates x crops) answers of the teacher, beside its training.

Departures from the published code: of every cluster of the teacher's answers to a class the best image is taken, not
the best of all, which are much alike (`choose`); a canvas is cut into its tiles again and each is enlarged to an image
of its own, so that tiles are judged, labelled and learned from in one form (published: the mosaic is the image,
students see random crops of it, and tiles are padded with zeros when they are judged); labels of some views of every
tile are stored instead of a teacher that is asked for every batch; and the choice is kept honest by labels and images
of random ones beside it in every report.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from worker.contract.context import Context, seed_of
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.images.budget import SizeParams, counts_of, image_bytes
from worker.kinds.images.dataset import Images
from worker.kinds.images.decoder import Decoder
from worker.kinds.images.summary import ImagesSummary, of_pixels
from worker.kinds.images.teachers.cost import TEACHER
from worker.kinds.images.teachers.params import TeacherParams
from worker.kinds.images.uploaded_network import TEACHER as NETWORK

if TYPE_CHECKING:
    from worker.kinds.images.teachers.teacher import Teacher

_AHEAD = 512  # tiles judged at once


class RDEDParams(SizeParams, TeacherParams):
    """Parameters of `rded`."""

    candidates: int = Field(300, ge=1, le=100_000, description="Images of every class whose crops are looked at.")
    crops: int = Field(5, ge=1, le=100, description="Random crops of each of them.")
    least_area: float = Field(
        0.8, gt=0, le=1, description="Least share of an image's square that a crop covers; 1: the whole of it."
    )
    choose: Literal["clusters", "least-loss"] = Field(
        "clusters",
        description="Which of the recognised images: the best of every cluster of the teacher's answers to a class, or "
        "the best of all, as published.",
    )
    factor: int = Field(
        1, ge=1, le=4, description="Tiles along a side of a canvas, each an image of its own, enlarged."
    )


@method(
    kind="images",
    task="distil",
    name="rded",
    version=3,
    paper="arXiv:2312.03526",
    device="any",
    memory_mb=2048,
    inputs=(NETWORK,),
    cost=Cost(seconds=(Term(2.0), *TEACHER, Term(3e-4, {"params.candidates": 1, "params.crops": 1, "classes": 1}))),
)
def rded(data: Images, params: RDEDParams, ctx: Context) -> ImagesSummary:
    """The crops of real images that a teacher recognises best, with its soft labels; nothing is optimised."""
    from worker.kinds.images.labelling import labeller, with_labels  # torch, which listing methods does not need
    from worker.kinds.images.teachers.crops import tile_size, tiled

    size = tile_size(data.shape[1:], params.factor)
    each, pixels = params.factor**2, math.prod(data.shape)
    counts = counts_of(
        data, params, bytes_each=pixels + each * (image_bytes(data, soft=True, views=params.views) - pixels)
    )
    with ctx.part("teacher", 0, 3, label="train the teacher", seed=ctx.seed) as part:
        teacher = labeller(data, params, part)
    with ctx.part("crops", 1, 3, label="judge crops", seed=ctx.seed) as part:
        tiles, y = _best(data, counts * each, size, params, teacher, part)
    decoder = Decoder("multiform", params.factor) if params.factor > 1 else Decoder()
    origin = Origin("rded", settings=params.model_dump(exclude_none=True))
    summary = of_pixels(data, tiled(tiles, params.factor), y, origin, decoder=decoder)
    with ctx.part("labels", 2, 3, label="label", seed=ctx.seed) as part:
        return with_labels(data, summary, teacher, params, part)


def _best(
    data: Images, counts: np.ndarray, size: tuple[int, int], params: RDEDParams, teacher: Teacher, ctx: Context
) -> tuple[np.ndarray, np.ndarray]:
    """The best crops, uint8 (m, *size, c), and their classes (m,): `counts` (C,) of each class, the best first.

    Where a class has fewer images than are asked for, further crops of the same images follow.
    """
    from worker.kinds.images.selection.pickers import best_of_clusters  # scikit-learn, which listing does not need
    from worker.kinds.images.teachers.crops import best_of_each, cross_entropy, cut, drawn, least

    train = data.train
    found, y = [np.zeros((0, *size, data.shape[0]), np.uint8)], [np.zeros(0, np.int64)]
    for one in np.flatnonzero(counts):
        rng = np.random.default_rng(seed_of(ctx.seed, f"class {one}"))
        rows, count = np.flatnonzero(train.y == one), int(counts[one])
        rows = np.sort(rng.choice(rows, min(len(rows), max(params.candidates, count)), replace=False))
        each = max(params.crops, math.ceil(count / len(rows)))
        crops = drawn(rows, each, data.shape[1:], params.least_area, rng)
        ctx.progress(int(one), len(counts), phase="judge crops")
        tiles = cut(train, crops, size)
        answers = _answers(tiles, int(one), data, params.factor, teacher, ctx)
        loss = cross_entropy(answers, int(one))
        best = best_of_each(crops.row, loss)
        if params.choose == "clusters":
            taken = best[best_of_clusters(answers[best].astype(np.float32), loss[best], count, rng)]
        else:
            taken = best[least(loss[best], count)]
        others = np.setdiff1d(np.arange(len(crops)), taken)
        taken = np.concatenate([taken, others[least(loss[others], count - len(taken))]])
        found.append(tiles[taken])
        y.append(np.full(count, one, np.int64))
    return np.concatenate(found), np.concatenate(y)


def _answers(tiles: np.ndarray, y: int, data: Images, factor: int, teacher: Teacher, ctx: Context) -> np.ndarray:
    """The teacher's logits float64 (m, C) for tiles of class `y`, enlarged as students see them."""
    from torch import from_numpy
    from torch.nn import functional

    found = [np.zeros((0, len(data.classes)))]
    for start in range(0, len(tiles), _AHEAD):
        ctx.progress(y, len(data.classes), phase="judge crops")
        x = from_numpy(data.encoding.encode(tiles[start : start + _AHEAD]))
        if factor > 1:
            x = functional.interpolate(x, size=data.shape[1:], mode="bilinear", align_corners=False)
        found.append(teacher.answers(x).astype(np.float64))
    return np.concatenate(found)
