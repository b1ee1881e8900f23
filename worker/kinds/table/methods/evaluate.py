"""Judge summaries that exist already: made earlier, or subsets made elsewhere and uploaded.

Every summary that leaves the service is judged on the way out, by the same protocol (`worker.kinds.table.judge`). Of
several, each gets a verdict of its own, and all stand in the same tables.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import NoParams
from worker.contract.method import Input, method
from worker.evidence.measurements import Measurements
from worker.kinds.table.dataset import Table
from worker.kinds.table.leaks import held_out_rows
from worker.kinds.table.summary import TableSummary


@method(
    kind="table",
    task="evaluate",
    name="evaluate",
    version=1,
    inputs=(Input("summary", many=True, description="Summaries, or dataset versions that are subsets."),),
)
def evaluate(data: Table, params: NoParams, ctx: Context) -> Measurements:
    """Measure what existing summaries keep of the full data.

    Raises `JobError` `invalid_input` when one is no summary of a table with these columns, or keeps rows that this
    version holds out.
    """
    from worker.kinds.table.judge import judge  # learners are slow to import, and reading summaries needs none

    for summary in ctx.inputs["summary"]:
        if not isinstance(summary, TableSummary) or summary.frame.schema != data.frame.schema:
            raise JobError(
                "invalid_input",
                "A summary does not have the columns of the dataset.",
                hint="Judge a summary against the dataset it was made of.",
                pointer="/inputs/summary",
            )
        asked = 0 if summary.rows is None else int(held_out_rows(data, summary.frame).sum())
        if asked:
            raise JobError(
                "invalid_input",
                f"{asked:,} rows of a summary are held out in this version of the dataset: it was made of another.",
                hint="Judge a summary against the version it was made of.",
                pointer="/inputs/summary",
            )
    return judge(data, ctx.inputs["summary"], ctx.evaluate, ctx)
