"""Make a row of every centre of k-means within each class, each cell snapped to one that occurs.

Centres themselves hold fractions of categories, which break tree learners; snapped ones are rows that could be. In
regression a made row has the target of the real row nearest its centre. O(rows x features x budget) a step.
"""

from __future__ import annotations

import numpy as np

from worker.contract.context import Context, seed_of
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.table.dataset import Table
from worker.kinds.table.delivery import RowsParams, counts_of, made
from worker.kinds.table.selection import candidates, centroids, nearest_rows
from worker.kinds.table.summary import TableSummary


class KMeansParams(RowsParams):
    """Parameters of `k-means`."""


@method(
    kind="table",
    task="distil",
    name="k-means",
    version=1,
    paper="MacQueen, 1967",
    cost=Cost(seconds=(Term(1.0), Term(2e-5, {"rows": 1}))),
)
def k_means(data: Table, params: KMeansParams, ctx: Context) -> TableSummary:
    """Made rows: the centres of clusters, with every cell one that occurs."""
    counts, train = counts_of(data, params), data.train
    points: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for stratum in np.flatnonzero(counts):
        ctx.progress(int(stratum), len(counts), phase="cluster")
        rng = np.random.default_rng(seed_of(ctx.seed, f"stratum {stratum}"))
        rows = candidates(data.strata, int(stratum), int(counts[stratum]), rng)
        centres = centroids(train.x[rows], train.weight[rows], int(counts[stratum]), rng)
        points.append(centres)
        labels.append(rows[nearest_rows(train.x[rows], centres)])
    origin = Origin("k-means", settings=params.model_dump() | {"rows": int(counts.sum())})
    return made(data, np.concatenate(points), np.concatenate(labels), np.repeat(np.arange(len(counts)), counts), origin)
