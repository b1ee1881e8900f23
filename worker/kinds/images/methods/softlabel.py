"""Random images with the labels of a teacher: the control that most distilled images do not beat.

Qin et al., "A Label is Worth a Thousand Images in Dataset Distillation" (arXiv:2406.10485): of what recent methods gain
over random images with hard labels, soft labels alone give most. Labels of some augmented views are stored, and views
drawn anew from a seed; published recipes ask the teacher for every view of every batch, which takes the teacher, or
gigabytes of labels, along. O(one training of the teacher).
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
    version=2,
    paper="arXiv:2406.10485",
    device="any",
    memory_mb=2048,
    inputs=(NETWORK,),
    cost=Cost(seconds=(Term(2.0), *TEACHER)),
)
def softlabel(data: Images, params: SoftLabelParams, ctx: Context) -> ImagesSummary:
    """Random real images with soft labels of a teacher trained on the full data: what made images have to beat."""
    from worker.kinds.images.labelling import labeller, with_labels  # torch, which listing methods does not need

    counts = counts_of(data, params, bytes_each=image_bytes(data, soft=True, views=params.views))
    rows = spread(data.train, counts, lambda numbers: numbers[:, None], at_random, ctx)
    with ctx.part("teacher", 0, 2, label="train the teacher", seed=ctx.seed) as part:
        teacher = labeller(data, params, part)
    images = data.train.take(rows)
    assert images.rows is not None  # noqa: S101 - taken by their numbers
    summary = of_rows(data, images.rows, Origin("softlabel", settings=params.model_dump(exclude_none=True)))
    with ctx.part("labels", 1, 2, label="label", seed=ctx.seed) as part:
        return with_labels(data, summary, teacher, params, part)
