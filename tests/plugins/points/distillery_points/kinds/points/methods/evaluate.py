"""Judge summaries that exist already, by the protocol that every summary is judged by when it is made."""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.kind import NoParams
from worker.contract.method import Input, method
from worker.evidence.measurements import Measurements
from worker.kinds.points.dataset import Points

SUMMARIES = Input("summary", many=True, description="Summaries, or dataset versions that are subsets.")


@method(kind="points", task="evaluate", name="evaluate", version=1, inputs=(SUMMARIES,))
def evaluate(data: Points, params: NoParams, ctx: Context) -> Measurements:
    """Measure what existing summaries keep of the full data."""
    from worker.kinds.points.judge import judge

    return judge(data, ctx.inputs["summary"], ctx.evaluate, ctx)
