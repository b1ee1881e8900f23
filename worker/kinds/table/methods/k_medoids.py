"""Keep the medoid of every cluster of k-means, within each class.

The row of a cluster with the least sum of squared distances to all others is the one nearest its mean, so medoids
under squared distance need no search of their own. O(rows x features x budget) a step.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.table.dataset import Table
from worker.kinds.table.delivery import RowsParams, pick_by
from worker.kinds.table.selection import medoids
from worker.kinds.table.summary import TableSummary


class KMedoidsParams(RowsParams):
    """Parameters of `k-medoids`."""


@method(
    kind="table",
    task="select",
    name="k-medoids",
    version=1,
    paper="MacQueen, 1967",
    cost=Cost(seconds=(Term(1.0), Term(2e-5, {"rows": 1}))),
)
def k_medoids(data: Table, params: KMedoidsParams, ctx: Context) -> TableSummary:
    """The most central real row of every cluster of its class."""
    return pick_by(data, data.train.x, medoids, "k-medoids", params, ctx)
