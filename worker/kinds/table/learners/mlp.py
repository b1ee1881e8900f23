"""A network with one hidden layer of 64 units, trained with Adam for as many epochs as make 400 steps, at least 12."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.table.predictor import Fit, Predict, TrainingRows, constant, of_sklearn

STEPS, LEAST_EPOCHS = 400, 12
_PER_REPORT = 3_000  # rows between two reports of progress


@learner(kind="table", name="mlp", label="MLP", seeds=2, settings=({"alpha": 1.0}, {"alpha": 0.01}))
def mlp(given: TrainingRows, params: Any, ctx: Context) -> Fit:
    """`alpha` is the weight decay; rows count by their weights."""

    def train(settings: Settings, ctx: Context) -> Predict:
        rows = given.rows
        if (always := constant(given)) is not None:
            return always
        batch = int(np.clip(len(rows) // 8, 16, 200))
        epochs = max(LEAST_EPOCHS, math.ceil(STEPS * batch / len(rows)))
        spread, mean = (1.0, 0.0) if given.classes else (float(rows.y.std()) or 1.0, float(rows.y.mean()))
        kind: Any = MLPClassifier if given.classes else MLPRegressor
        model = kind(
            hidden_layer_sizes=(64,),
            alpha=float(settings["alpha"]),
            batch_size=min(batch, len(rows)),
            learning_rate_init=3e-3,
            random_state=ctx.seed % 2**32,
        )
        target = rows.y if given.classes else (rows.y - mean) / spread
        more = {"classes": np.unique(rows.y)} if given.classes else {}
        heard = 0
        for epoch in range(epochs):
            if (epoch + 1) * len(rows) - heard >= _PER_REPORT:
                heard = epoch * len(rows)
                ctx.progress(epoch, epochs)
            model.partial_fit(rows.x, target, sample_weight=rows.weight, **more)
        predict = of_sklearn(model, given.classes)
        return predict if given.classes else lambda x: mean + spread * predict(x)

    return Fit(train)
