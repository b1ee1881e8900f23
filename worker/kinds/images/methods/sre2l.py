"""Images made from the batch statistics of a trained network, with a teacher's soft labels (SRe2L).

Yin, Xing and Shen, "Squeeze, Recover and Relabel", NeurIPS 2023, arXiv:2306.13092. Squeeze: a network with batch norms
is trained on the full data. Recover: images begin as noise, one of every class at a time, and move until the network
says their class and its batch norms see what they saw of real images (`worker.kinds.images.teachers.recovery`).
Relabel: soft labels of the images as they are delivered. O(steps x images) passes of the network, both ways.

Departures from the published code: labels of a few augmented views are stored (published: of hundreds, which
are larger than the images); images are moved whole, not by random crops of them, which small images do not
have room for; and the network that gives the statistics may be another than the teacher that labels (`remem`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.images.budget import SizeParams, counts_of, image_bytes
from worker.kinds.images.dataset import Images
from worker.kinds.images.summary import ImagesSummary, made
from worker.kinds.images.teachers.cost import TEACHER, by_preset
from worker.kinds.images.teachers.params import TeacherParams
from worker.kinds.images.uploaded_network import TEACHER as NETWORK

if TYPE_CHECKING:
    from worker.kinds.images.teachers.recovery import Recovery
    from worker.kinds.images.teachers.teacher import Teacher

STEPS = {"quick": 100, "standard": 500, "paper": 1_000}


class SRe2LParams(SizeParams, TeacherParams):
    """Parameters of `sre2l`."""

    steps: int | None = Field(None, ge=0, le=20_000, description="Steps of recovery; null: by the preset.")
    rate: float = Field(0.1, gt=0, le=10, description="Step size of recovery, in standard deviations of pixels.")
    statistics: float = Field(0.05, ge=0, le=100, description="Weight of the batch statistics beside the class.")
    jitter: int = Field(2, ge=0, le=32, description="Pixels by which images are rolled at most, anew for every step.")


@method(
    kind="images",
    task="distil",
    name="sre2l",
    version=2,
    paper="arXiv:2306.13092",
    device="any",
    memory_mb=2048,
    inputs=(NETWORK,),
    cost=Cost(seconds=(Term(2.0), *TEACHER, *by_preset(1.8e-4, 9e-4, 1.8e-3, "budget", "values"))),
)
def sre2l(data: Images, params: SRe2LParams, ctx: Context) -> ImagesSummary:
    """Images made from the batch statistics of a trained network, with soft labels."""
    # torch, which listing methods does not need
    from worker.kinds.images.labelling import convolutional, labeller, with_labels
    from worker.kinds.images.teachers.recovery import Recovery

    counts = counts_of(data, params, bytes_each=image_bytes(data, soft=True, made=True, views=params.views))
    with ctx.part("squeeze", 0, 3, label="train the network", seed=ctx.seed) as part:
        network = convolutional(data, params, part)
    steps = STEPS[params.preset] if params.steps is None else params.steps
    recovery = Recovery(steps, params.rate, params.statistics, params.jitter)
    with ctx.part("recover", 1, 3, label="recover images") as part:
        x, y = _recovered(data, counts, network, recovery, part)
    settings = params.model_dump(exclude_none=True) | {"steps": steps}
    summary = made(data, x, y, Origin("sre2l", settings=settings))
    with ctx.part("relabel", 2, 3, label="label", seed=ctx.seed) as part:
        teacher = network if params.teacher != "remem" else labeller(data, params, part)
        return with_labels(data, summary, teacher, params, part)


def _recovered(
    data: Images, counts: np.ndarray, network: Teacher, recovery: Recovery, ctx: Context
) -> tuple[np.ndarray, np.ndarray]:
    """Images float32 (s, c, h, w) in the order of their classes (s,); batch k has the k-th of every class."""
    import torch

    from worker.kinds.images.teachers.recovery import recovered

    low, high = (data.encoding.encode(np.full((1, 1, 1, data.shape[0]), one, np.uint8)).ravel() for one in (0, 255))
    bounds = [torch.from_numpy(one).to(ctx.device) for one in (low, high)]
    network.network.requires_grad_(False)
    found: list[np.ndarray] = []
    y: list[np.ndarray] = []
    for number in range(int(counts.max())):
        classes = np.flatnonzero(counts > number)
        with ctx.part(f"batch {number}", number, int(counts.max()), label="recover images") as part:
            point = part.restore()
            if point is None or not point.done:
                start = part.rng.standard_normal((len(classes), *data.shape)).astype(np.float32)
                x = recovered(
                    network.network,
                    torch.from_numpy(start).to(ctx.device),
                    torch.from_numpy(classes).to(ctx.device),
                    *bounds,
                    recovery,
                    part.seed,
                    lambda step, part=part: part.progress(step, recovery.steps, phase="recover"),
                )
                part.finish({"x": x}, {})
                found.append(x.cpu().numpy())
            else:
                found.append(point.arrays["x"])
        y.append(classes)
    of = np.concatenate(y)
    order = np.argsort(of, kind="stable")
    return np.concatenate(found)[order], of[order]
