"""Keep rows drawn at random within each class or bin: the baseline every summary must beat."""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.table.dataset import Table
from worker.kinds.table.delivery import RowsParams, pick_by
from worker.kinds.table.selection import at_random
from worker.kinds.table.summary import TableSummary


class RandomParams(RowsParams):
    """Parameters of `random`."""


@method(kind="table", task="select", name="random", version=1, cost=Cost(seconds=(Term(1.0), Term(5e-6, {"rows": 1}))))
def random_rows(data: Table, params: RandomParams, ctx: Context) -> TableSummary:
    """Real rows at random within each class."""
    return pick_by(data, data.train.x, at_random, "random", params, ctx)
