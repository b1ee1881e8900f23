"""Judge summaries that exist already by what fits the dataset: events as `next-event` does, text as `perplexity`."""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.kind import NoParams
from worker.contract.method import Input, method
from worker.evidence.measurements import Measurements
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.existing import judge_existing


@method(
    kind="sequences",
    task="evaluate",
    name="evaluate",
    version=1,
    device="any",
    inputs=(Input("summary", many=True, description="Summaries, or dataset versions that are subsets."),),
    memory_mb=3072,
)
def evaluate(data: Sequences, params: NoParams, ctx: Context) -> Measurements:
    """Measure what existing summaries keep of the full data: of events by ranking, of text by perplexity."""
    return judge_existing(data, ctx)
