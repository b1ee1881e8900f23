"""Judge summaries of events that exist already, made earlier or elsewhere, by how well what came next is ranked.

Every summary that leaves the service is judged on the way out, by the same protocol
(`worker.kinds.sequences.judge`). Of several, each gets a verdict of its own, and all stand in the same tables; the full
data are always among them.
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
    name="next-event",
    version=1,
    device="any",
    inputs=(Input("summary", many=True, description="Summaries, or dataset versions that are subsets."),),
    memory_mb=3072,
)
def next_event(data: Sequences, params: NoParams, ctx: Context) -> Measurements:
    """Rank what came next among all items, with learners trained on existing summaries and on the full data."""
    if data.is_text:
        raise JobError("unsupported", "This dataset is a text.", hint="Use the method perplexity.", pointer="/method")
    return judge_existing(data, ctx)
