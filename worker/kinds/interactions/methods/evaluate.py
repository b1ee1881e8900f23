"""Judge summaries that exist already: made earlier, or subsets made elsewhere and uploaded.

Every summary that leaves the service is judged on the way out, by the same protocol
(`worker.kinds.interactions.judge`). Of several, each gets a verdict of its own, and all stand in the same tables.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import NoParams
from worker.contract.method import Input, method
from worker.evidence.measurements import Measurements
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.description import test_events
from worker.kinds.interactions.summary import InteractionsSummary


@method(
    kind="interactions",
    task="evaluate",
    name="evaluate",
    version=2,
    inputs=(Input("summary", many=True, description="Summaries, or dataset versions that are subsets."),),
    memory_mb=3072,
)
def evaluate(data: Interactions, params: NoParams, ctx: Context) -> Measurements:
    """Measure what existing summaries keep of the full data.

    Raises `JobError` `invalid_input` when one is no summary of interactions, not over these items, or holds events that
    this version holds out.
    """
    from worker.kinds.interactions.judge import judge  # learners need torch, which reading summaries does not

    summaries = ctx.inputs["summary"]
    for summary in summaries:
        if not isinstance(summary, InteractionsSummary) or summary.rows.shape[1] != data.n_items:
            raise JobError(
                "invalid_input",
                f"A summary is not over the {data.n_items} items of the dataset.",
                hint="Judge a summary against the dataset it was made of.",
                pointer="/inputs/summary",
            )
        asked = test_events(data, summary)
        if asked:
            raise JobError(
                "invalid_input",
                f"{asked:,} events of a summary are test events in this version of the dataset: it is of another.",
                hint="Judge a summary against the version it was made of.",
                pointer="/inputs/summary",
            )
    return judge(data, summaries, ctx.evaluate, ctx)
