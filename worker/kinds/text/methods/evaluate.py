"""Judge selections that exist already: made earlier, or subsets made elsewhere and uploaded.

Every selection that leaves the service is judged on the way out, by the same protocol (`worker.kinds.text.judge`). Of
several, each gets a verdict of its own, and all stand in the same tables.
"""

from __future__ import annotations

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import NoParams
from worker.contract.method import Input, method
from worker.evidence.findings import Findings
from worker.evidence.measurements import Measurements
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.summary import TextSummary


@method(
    kind="text",
    task="evaluate",
    name="evaluate",
    version=1,
    memory_mb=1536,
    inputs=(Input("summary", many=True, description="Selections, or dataset versions that are subsets."),),
)
def evaluate(data: Corpus, params: NoParams, ctx: Context) -> Measurements | Findings:
    """Measure what models learn from existing selections, at equal bytes of training text.

    Raises `JobError` `invalid_input` when one is no selection of documents, or holds documents that this version holds
    out.
    """
    from worker.kinds.text.judge import judge  # learners are slow to import, and reading selections needs none

    for summary in ctx.inputs["summary"]:
        if not isinstance(summary, TextSummary):
            raise JobError(
                "invalid_input",
                "An input is no selection of documents.",
                hint="Give summaries of kind text, or versions of that kind.",
                pointer="/inputs/summary",
            )
        asked = int(np.isin(summary.corpus.hash[summary.taken], data.held_out).sum())
        if asked:
            raise JobError(
                "invalid_input",
                f"{asked:,} documents of a selection are held out in this version of the dataset: it was made of "
                "another.",
                hint="Judge a selection against the version it was made of.",
                pointer="/inputs/summary",
            )
    return judge(data, ctx.inputs["summary"], ctx.evaluate, ctx)
