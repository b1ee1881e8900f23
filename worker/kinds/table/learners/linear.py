"""Logistic regression, or ridge regression of a number, on the encoded features."""

from __future__ import annotations

from typing import Any

from sklearn.linear_model import LogisticRegression, Ridge

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.table.predictor import Fit, Predict, TrainingRows, constant, of_sklearn


@learner(kind="table", name="linear", label="linear model", settings=({"c": 0.03}, {"c": 0.3}, {"c": 3.0}))
def linear(given: TrainingRows, params: Any, ctx: Context) -> Fit:
    """C is the inverse penalty; rows count by their weights."""

    def train(settings: Settings, ctx: Context) -> Predict:
        rows = given.rows
        if (always := constant(given)) is not None:
            return always
        if given.classes:
            model: Any = LogisticRegression(C=float(settings["c"]), max_iter=500, tol=1e-3)
        else:
            model = Ridge(alpha=1 / float(settings["c"]))
        return of_sklearn(model.fit(rows.x, rows.y, sample_weight=rows.weight), given.classes)

    return Fit(train)
