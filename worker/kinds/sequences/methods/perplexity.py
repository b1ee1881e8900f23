"""Judge summaries of a text that exist already by the perplexity of language models trained on them.

The figures are those of `worker.kinds.sequences.judge`; the full text is always beside the summaries. Perplexities over
different vocabularies cannot be compared, so a summary is matched to the dataset's.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import NoParams
from worker.contract.method import Input, method
from worker.evidence.measurements import Measurements
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.existing import judge_existing


@method(
    kind="sequences",
    task="evaluate",
    name="perplexity",
    version=1,
    device="any",
    inputs=(Input("summary", many=True, description="Summaries, or dataset versions that are subsets."),),
    memory_mb=3072,
)
def perplexity(data: Sequences, params: NoParams, ctx: Context) -> Measurements:
    """Perplexity of language models trained on existing summaries of a text and on the full text."""
    if not data.is_text:
        raise JobError("unsupported", "This dataset is no text.", hint="Use the method next-event.", pointer="/method")
    return judge_existing(data, ctx)
