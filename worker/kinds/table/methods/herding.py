"""Keep the rows whose running mean stays nearest the mean of their class (herding, in the encoded features).

O(rows x features x budget).
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.table.dataset import Table
from worker.kinds.table.delivery import RowsParams, pick_by
from worker.kinds.table.selection import herding
from worker.kinds.table.summary import TableSummary


class HerdingParams(RowsParams):
    """Parameters of `herding`."""


@method(
    kind="table",
    task="select",
    name="herding",
    version=1,
    paper="Welling, ICML 2009",
    cost=Cost(seconds=(Term(1.0), Term(2e-5, {"rows": 1}))),
)
def herding_rows(data: Table, params: HerdingParams, ctx: Context) -> TableSummary:
    """Real rows whose mean is that of their class."""
    return pick_by(data, data.train.x, herding, "herding", params, ctx)
