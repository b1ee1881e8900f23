"""Keep rows such that none of their class is far from a kept one (greedy k-center, in the encoded features).

Covers the margins of a class, outliers first; O(rows x features x budget).
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.table.dataset import Table
from worker.kinds.table.delivery import RowsParams, pick_by
from worker.kinds.table.selection import k_center
from worker.kinds.table.summary import TableSummary


class KCenterParams(RowsParams):
    """Parameters of `k-center`."""


@method(
    kind="table",
    task="select",
    name="k-center",
    version=1,
    paper="Gonzalez, 1985",
    cost=Cost(seconds=(Term(1.0), Term(2e-5, {"rows": 1}))),
)
def k_center_rows(data: Table, params: KCenterParams, ctx: Context) -> TableSummary:
    """Real rows that no row of their class is far from."""
    return pick_by(data, data.train.x, k_center, "k-center", params, ctx)
