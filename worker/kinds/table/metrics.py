"""How models are measured: per test row, or pooled where a metric exists only over all rows together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from worker.evidence.measurements import Metric, Pooled, Scores
from worker.kinds.table.predictor import LEAST

AUC = Metric("auc", "AUC")
ACCURACY = Metric("accuracy", "accuracy")
BALANCED = Metric("balanced_accuracy", "balanced accuracy")
LOG_LOSS = Metric("log_loss", "log-loss", "nats", 1.0, higher_is_better=False)
R2 = Metric("r2", "R\u00b2")
ABSOLUTE = Metric("absolute_error", "mean absolute error", "", 1.0, higher_is_better=False)


def metrics_of(classes: int) -> tuple[Metric, ...]:
    """The metrics of so many classes, the one that is tuned for first; 0 classes are regression."""
    if not classes:
        return R2, ABSOLUTE
    return (AUC, ACCURACY, BALANCED, LOG_LOSS) if classes == 2 else (BALANCED, ACCURACY, LOG_LOSS)


def measure(predicted: np.ndarray, y: np.ndarray, classes: int) -> Mapping[str, Scores]:
    """Every metric of predictions, probabilities (n, classes) or numbers (n,), for the targets y (n,).

    R squared of a row is 1 - (error)^2 / (variance of the test targets): its mean is the R squared of all.
    """
    if not classes:
        variance = max(float(np.var(y)), 1e-300)
        return {"r2": 1 - (y - predicted) ** 2 / variance, "absolute_error": np.abs(y - predicted)}
    said = predicted.argmax(axis=1)
    own = np.clip(predicted[np.arange(len(y)), y], LEAST, 1.0)
    found: dict[str, Scores] = {
        "accuracy": (said == y).astype(np.float64),
        "balanced_accuracy": Pooled("balanced_accuracy", {"label": y, "predicted": said}),
        "log_loss": -np.log(own),
    }
    if classes == 2:
        found["auc"] = Pooled("auc", {"label": y, "score": predicted[:, 1].astype(np.float64)})
    return found
