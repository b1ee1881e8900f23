"""The floor: the shares of the classes in the training set, or its mean, whatever the row."""

from __future__ import annotations

from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.learner import learner
from worker.kinds.table.predictor import Fit, TrainingRows


@learner(kind="table", name="majority", label="majority class or mean", floor=True)
def majority(given: TrainingRows, params: Any, ctx: Context) -> Fit:
    """Predicts what is most frequent."""
    rows = given.rows
    if given.classes:
        share = np.bincount(rows.y, rows.weight, minlength=given.classes)
        share /= share.sum()
        return Fit(lambda settings, ctx: lambda x: np.tile(share, (len(x), 1)))
    mean = float(np.average(rows.y, weights=rows.weight))
    return Fit(lambda settings, ctx: lambda x: np.full(len(x), mean))
