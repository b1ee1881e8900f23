"""Gradient boosting of histogram trees: small trees for small sets, larger ones where there are many rows."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.table.predictor import Fit, Predict, TrainingRows, constant, of_sklearn

SMALL: Settings = {"trees": 60, "leaves": 4, "min_leaf": 5}
LARGE: Settings = {"trees": 150, "leaves": 31, "min_leaf": 20}
_STEP = 30


@learner(kind="table", name="boosting", label="gradient boosting", settings=(SMALL, LARGE))
def boosting(given: TrainingRows, params: Any, ctx: Context) -> Fit:
    """Learning rate 0.1, l2 1; rows count by their weights; grown thirty trees at a time, so that it can be stopped."""

    def train(settings: Settings, ctx: Context) -> Predict:
        rows = given.rows
        if (always := constant(given)) is not None:
            return always
        kind: Any = HistGradientBoostingClassifier if given.classes else HistGradientBoostingRegressor
        model = kind(
            learning_rate=0.1, max_leaf_nodes=int(settings["leaves"]), l2_regularization=1.0, early_stopping=False,
            min_samples_leaf=int(settings["min_leaf"]), warm_start=True, random_state=ctx.seed % 2**32,
        )  # fmt: skip
        trees = int(settings["trees"])
        for grown in range(_STEP, trees + 1, _STEP):
            ctx.progress(grown - _STEP, trees)
            model.set_params(max_iter=grown).fit(rows.x, rows.y, sample_weight=rows.weight)
        return of_sklearn(model, given.classes)

    return Fit(train)
