"""What every learner of this kind returns: a model that gives each class a probability, or a row a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.learner import Settings
from worker.kinds.table.dataset import Rows

LEAST = 1e-6
"""Probabilities are at least this, so that a log-loss is finite."""


@dataclass(frozen=True)
class TrainingRows:
    """What learners are given: the rows, and how many classes there are, 0 in regression."""

    rows: Rows
    classes: int

    def __len__(self) -> int:
        return len(self.rows)


Predict = Callable[[np.ndarray], np.ndarray]
"""Encoded rows (n, D) -> probabilities (n, classes), or numbers (n,)."""


@dataclass(frozen=True)
class Fit:
    """A learner on one set: `train(settings, ctx)` gives the model."""

    train: Callable[[Settings, Context], Predict]

    def fit(self, settings: Settings, ctx: Context) -> Predict:
        """The model at these settings."""
        return self.train(settings, ctx)


def constant(given: TrainingRows) -> Predict | None:
    """The model of a set that has one class alone, which most learners refuse; None for all others."""
    if given.classes and len(np.unique(given.rows.y)) == 1:
        row = np.zeros(given.classes)
        row[int(given.rows.y[0])] = 1.0
        return lambda x: np.tile(row, (len(x), 1))
    return None


def of_sklearn(model: Any, classes: int) -> Predict:
    """A fitted scikit-learn model's predictions, a column for every class, also for those it has not seen."""
    if not classes:
        return lambda x: np.asarray(model.predict(x), np.float64)

    def predict(x: np.ndarray) -> np.ndarray:
        out = np.zeros((len(x), classes))
        out[:, model.classes_] = model.predict_proba(x)
        return out

    return predict
