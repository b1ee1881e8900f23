"""Random forest; leaves of two rows at least in small sets, and of ten where there are many."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.table.predictor import Fit, Predict, TrainingRows, constant, of_sklearn

TREES, _STEP = 100, 10


@learner(
    kind="table", name="random-forest", label="random forest", seeds=2, settings=({"min_leaf": 2}, {"min_leaf": 10})
)
def random_forest(given: TrainingRows, params: Any, ctx: Context) -> Fit:
    """Rows count by their weights; grown ten trees at a time, so that it can be stopped."""

    def train(settings: Settings, ctx: Context) -> Predict:
        rows = given.rows
        if (always := constant(given)) is not None:
            return always
        kind: Any = RandomForestClassifier if given.classes else RandomForestRegressor
        model = kind(
            min_samples_leaf=int(settings["min_leaf"]), max_features="sqrt" if given.classes else 0.4,
            warm_start=True, random_state=ctx.seed % 2**32,
        )  # fmt: skip
        for trees in range(_STEP, TREES + 1, _STEP):
            ctx.progress(trees - _STEP, TREES)
            model.set_params(n_estimators=trees).fit(rows.x, rows.y, sample_weight=rows.weight)
        return of_sklearn(model, given.classes)

    return Fit(train)
