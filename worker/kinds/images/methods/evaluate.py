"""Judge summaries that exist already: made earlier, or subsets made elsewhere and uploaded.

Every summary that leaves the service is judged on the way out, by the same protocol (`worker.kinds.images.judge`). Of
several, each gets a verdict of its own, and all stand in the same tables.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import NoParams
from worker.contract.method import Input, method
from worker.evidence.measurements import Measurements
from worker.kinds.images.adoption import held_out_images
from worker.kinds.images.dataset import Images
from worker.kinds.images.summary import ImagesSummary


@method(
    kind="images",
    task="evaluate",
    name="evaluate",
    version=1,
    device="any",
    memory_mb=3072,
    inputs=(Input("summary", many=True, description="Summaries, or dataset versions that are subsets."),),
)
def evaluate(data: Images, params: NoParams, ctx: Context) -> Measurements:
    """Measure what existing summaries keep of the full data.

    Raises `JobError` `invalid_input` when one is no summary of images of this size and these classes, or keeps images
    that this version holds out.
    """
    from worker.kinds.images.judge import judge  # learners need torch, and reading summaries does not

    for summary in ctx.inputs["summary"]:
        if not isinstance(summary, ImagesSummary) or (summary.shape, summary.classes) != (data.shape, data.classes):
            raise JobError(
                "invalid_input",
                "A summary does not have the classes of the dataset, or images of another size.",
                hint="Judge a summary against the dataset it was made of.",
                pointer="/inputs/summary",
            )
        asked = int(held_out_images(data, summary.x).sum()) if summary.real else 0
        if asked:
            raise JobError(
                "invalid_input",
                f"{asked:,} images of a summary are held out in this version of the dataset: it was made of another.",
                hint="Judge a summary against the version it was made of.",
                pointer="/inputs/summary",
            )
    return judge(data, ctx.inputs["summary"], ctx.evaluate, ctx)
