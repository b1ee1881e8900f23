"""Judge summaries that exist already: made earlier, or subsets made elsewhere and uploaded.

Every summary that leaves the service is judged on the way out, by the same protocol (`worker.kinds.labels.judge`). Of
several, each gets a verdict of its own, and all stand in the same tables.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import NoParams
from worker.contract.method import Input, method
from worker.evidence.measurements import Measurements
from worker.kinds.labels.dataset import LabelledDocuments
from worker.kinds.labels.leaks import held_out_documents
from worker.kinds.labels.summary import LabelsSummary


@method(
    kind="labels",
    task="evaluate",
    name="evaluate",
    version=1,
    inputs=(Input("summary", many=True, description="Summaries, or dataset versions that are subsets."),),
)
def evaluate(data: LabelledDocuments, params: NoParams, ctx: Context) -> Measurements:
    """Measure what existing summaries keep of the full data.

    Raises `JobError` `invalid_input` when one is no summary of documents with these labels and features, or keeps
    documents that this version holds out.
    """
    from worker.kinds.labels.judge import judge  # learners are slow to import, and reading summaries needs none

    for summary in ctx.inputs["summary"]:
        if not isinstance(summary, LabelsSummary) or not _fits(data, summary):
            raise JobError(
                "invalid_input",
                "A summary does not have the labels, features or text of the dataset.",
                hint="Judge a summary against the dataset it was made of.",
                pointer="/inputs/summary",
            )
        asked = 0 if summary.rows is None else int(held_out_documents(data, summary.documents).sum())
        if asked:
            raise JobError(
                "invalid_input",
                f"{asked:,} documents of a summary are held out in this version: it was made of another.",
                hint="Judge a summary against the version it was made of.",
                pointer="/inputs/summary",
            )
    return judge(data, ctx.inputs["summary"], ctx.evaluate, ctx)


def _fits(data: LabelledDocuments, summary: LabelsSummary) -> bool:
    own = summary.version
    same_features = (None if own.features is None else own.features.shape[1]) == (
        None if data.features is None else data.features.shape[1]
    )
    same_text = (own.titles is None, own.bodies is None) == (data.titles is None, data.bodies is None)
    return own.labels == data.labels and same_features and same_text
