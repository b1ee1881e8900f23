"""Kernel herding of real rows in a space that knows both the features and what a teacher makes of them.

A teacher (gradient boosting, 60 trees, one training on the training part) gives every row the values of its leaves;
these, beside the encoded features, are herded within each class under a Gaussian kernel, by 300 random Fourier
features (Chen, Welling and Smola, "Super-samples from kernel herding", 2010). Rows stay real, so that trees meet no
value that no row has. O(rows x features x budget) after the teacher.
"""

from __future__ import annotations

import numpy as np

from worker.contract.context import Context, seed_of
from worker.contract.method import Cost, Term, method
from worker.kinds.table.dataset import Table
from worker.kinds.table.delivery import RowsParams, counts_of, picked
from worker.kinds.table.joint import joint, random_features
from worker.kinds.table.selection import herding, spread
from worker.kinds.table.summary import TableSummary


class JointHerdingParams(RowsParams):
    """Parameters of `joint-herding`."""


@method(
    kind="table",
    task="select",
    name="joint-herding",
    version=1,
    paper="arXiv:1203.3472",
    cost=Cost(seconds=(Term(2.0), Term(1.2e-4, {"rows": 1}))),
)
def joint_herding(data: Table, params: JointHerdingParams, ctx: Context) -> TableSummary:
    """Real rows whose mean is that of their class, in features and in what a teacher makes of them."""
    counts = counts_of(data, params)
    features = random_features(joint(data, ctx), np.random.default_rng(seed_of(ctx.seed, "features")))
    rows = spread(features, data.train.weight, data.strata, counts, herding, ctx)
    return picked(data, rows, "joint-herding", params, teacher="gradient boosting on the training part")
