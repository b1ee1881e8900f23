"""The method a user gets who names none: the one that keeps most for a table and a budget of this size.

Real rows are always kept. Where the budget is up to 50 rows a class and there are 2,000 training rows to judge sets by,
searching for rows keeps most; on smaller tables a search finds what is peculiar to the rows it judges by, with more
rows or many classes it takes longer than it gains, and joint herding is chosen.
"""

from __future__ import annotations

from dataclasses import replace

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.table.dataset import Table
from worker.kinds.table.delivery import RowsParams, counts_of
from worker.kinds.table.methods.evolved_rows import LEAST_ROWS, MOST_A_CLASS, EvolvedRowsParams, evolved_rows
from worker.kinds.table.methods.joint_herding import JointHerdingParams, joint_herding
from worker.kinds.table.summary import TableSummary

MOST_CLASSES = 4


class AutoParams(RowsParams):
    """Parameters of `auto`."""


@method(kind="table", task="select", name="auto", version=1, cost=Cost(seconds=(Term(9.0), Term(1.2e-4, {"rows": 1}))))
def auto(data: Table, params: AutoParams, ctx: Context) -> TableSummary:
    """A search for rows, or joint herding, as table and budget ask for; the report says why."""
    most, rows, classes = int(counts_of(data, params).max()), len(data.train), len(data.schema.classes)
    group = "class" if data.classification else "bin"
    said = f"{rows:,} training rows, {most} rows a {group} at most"
    if rows < LEAST_ROWS:
        why = f"below {LEAST_ROWS:,} a search for rows overfits"
    elif most > MOST_A_CLASS:
        why = f"above {MOST_A_CLASS} a search for rows gains nothing in the time it takes"
    elif classes > MOST_CLASSES:
        why = f"and {classes} classes: above {MOST_CLASSES} a search for rows takes long"
    else:
        summary = evolved_rows(data, EvolvedRowsParams(**params.model_dump()), ctx)
        reason = (
            f"{said}: from {LEAST_ROWS:,} rows and up to {MOST_A_CLASS} a {group}, searching for rows keeps most, so "
            "`auto` chose evolved-rows."
        )
        return replace(summary, origin=replace(summary.origin, reason=reason))
    summary = joint_herding(data, JointHerdingParams(**params.model_dump()), ctx)
    reason = f"{said}: {why}, so `auto` chose joint-herding."
    return replace(summary, origin=replace(summary.origin, reason=reason))
