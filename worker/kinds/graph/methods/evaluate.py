"""Judge condensed graphs that exist already: made earlier, or made elsewhere and uploaded."""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import NoParams
from worker.contract.method import Input, method
from worker.evidence.measurements import Measurements
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.summary import CondensedGraph


@method(
    kind="graph",
    task="evaluate",
    name="evaluate",
    version=1,
    inputs=(Input("summary", many=True, description="Condensed graphs, or dataset versions that are subsets."),),
    memory_mb=2048,
)
def evaluate(data: Graph, params: NoParams, ctx: Context) -> Measurements:
    """Measure what existing condensed graphs keep of the whole graph.

    Raises `JobError` `invalid_input` when one is no condensed graph over these features.
    """
    from worker.kinds.graph.judge import judge  # learners need torch, which reading summaries does not

    summaries = ctx.inputs["summary"]
    for summary in summaries:
        if not isinstance(summary, CondensedGraph) or summary.x.shape[1] != data.d:
            raise JobError(
                "invalid_input",
                f"A summary is not over the {data.d} features of the dataset.",
                hint="Judge a condensed graph against the dataset it was made of.",
                pointer="/inputs/summary",
            )
    return judge(data, summaries, ctx.evaluate, ctx)
