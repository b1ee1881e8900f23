"""Random images with the labels of a teacher: the control that most distilled images do not beat.

Qin et al., "A Label is Worth a Thousand Images in Dataset Distillation" (arXiv:2406.10485): of what recent methods gain
over random images with hard labels, soft labels alone give most. One label an image is stored, of the image as it is,
softened with a temperature that is chosen on validation images; published recipes ask the teacher anew for every
augmented view, which takes the teacher, or gigabytes of labels, along. O(one training of the teacher).
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.images.budget import SizeParams, counts_of, image_bytes
from worker.kinds.images.dataset import Images
from worker.kinds.images.selection.pickers import at_random, spread
from worker.kinds.images.summary import ImagesSummary, of_rows
from worker.kinds.images.teachers.cost import TEACHER
from worker.kinds.images.teachers.params import TeacherParams
from worker.kinds.images.uploaded_network import TEACHER as NETWORK


class SoftLabelParams(SizeParams, TeacherParams):
    """Parameters of `softlabel`."""


@method(
    kind="images",
    task="distil",
    name="softlabel",
    version=1,
    paper="arXiv:2406.10485",
    device="any",
    memory_mb=2048,
    inputs=(NETWORK,),
    cost=Cost(seconds=(Term(2.0), *TEACHER)),
)
def softlabel(data: Images, params: SoftLabelParams, ctx: Context) -> ImagesSummary:
    """Random real images with soft labels of a teacher trained on the full data: what made images have to beat."""
    from worker.kinds.images.labelling import labeller  # torch, which listing methods does not need
    from worker.kinds.images.teachers.labels import labelled

    counts = counts_of(data, params, bytes_each=image_bytes(data, soft=True))
    rows = spread(data.train, counts, lambda numbers: numbers[:, None], at_random, ctx)
    with ctx.part("teacher", 0, 2, label="train the teacher", seed=ctx.seed) as part:
        teacher = labeller(data, params, part)
    images = data.train.take(rows)
    with ctx.part("labels", 1, 2, label="label", seed=ctx.seed) as part:
        labels = labelled(data, images, teacher, params.temperature, part)
    assert images.rows is not None  # noqa: S101 - taken by their numbers
    settings = params.model_dump(exclude_none=True) | labels.to_json() | teacher.to_json()
    return of_rows(data, images.rows, Origin("softlabel", settings=settings), soft=labels.soft)
