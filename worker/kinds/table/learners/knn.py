"""k nearest neighbours in the encoded features, each with a vote of its weight; k is the root of the rows, 3 to 31."""

from __future__ import annotations

from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.table.predictor import Fit, Predict, TrainingRows

_CELLS = 8_000_000  # distances held at once
LEAST, MOST = 3, 31


@learner(kind="table", name="knn", label="k nearest neighbours", settings=({"times": 0.5}, {"times": 1.0}))
def knn(given: TrainingRows, params: Any, ctx: Context) -> Fit:
    """`times` the usual k."""
    rows = given.rows
    square = np.einsum("nd,nd->n", rows.x, rows.x)
    votes = np.eye(given.classes)[rows.y] if given.classes else rows.y[:, None].astype(np.float64)

    def train(settings: Settings, ctx: Context) -> Predict:
        k = int(np.clip(round(float(settings["times"]) * np.sqrt(len(rows))), LEAST, MOST))
        k = min(k, len(rows))

        def predict(x: np.ndarray) -> np.ndarray:
            out = np.empty((len(x), votes.shape[1]))
            block = max(1, _CELLS // max(1, len(rows)))
            for start in range(0, len(x), block):
                part = x[start : start + block]
                near = np.argpartition(square - 2 * part @ rows.x.T, k - 1, axis=1)[:, :k]
                weight = rows.weight[near] + 1e-12
                out[start : start + block] = np.einsum("qk,qkc->qc", weight, votes[near]) / weight.sum(1, keepdims=True)
            return out if given.classes else out[:, 0]

        return predict

    return Fit(train)
