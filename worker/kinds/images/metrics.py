"""How models are measured: per test image, or pooled where a metric exists only over all of them together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from worker.evidence.measurements import Metric, Pooled, Scores

ACCURACY = Metric("accuracy", "accuracy")
TOP_5 = Metric("top_5", "accuracy among the first five")
BALANCED = Metric("balanced_accuracy", "balanced accuracy")
MACRO_F1 = Metric("macro_f1", "macro F1")
LOG_LOSS = Metric("log_loss", "log-loss", "nats", 1.0, higher_is_better=False)
CALIBRATION = Metric("calibration_error", "calibration error", higher_is_better=False)
MANY_CLASSES = 20
LEAST = 1e-6
_BINS = 15


def metrics_of(classes: int) -> tuple[Metric, ...]:
    """The metrics of so many classes, the one that is tuned for first."""
    several = (TOP_5,) if classes >= MANY_CLASSES else ()
    return (ACCURACY, *several, BALANCED, MACRO_F1, LOG_LOSS, CALIBRATION)


def measure(probability: np.ndarray, y: np.ndarray) -> Mapping[str, Scores]:
    """Every metric of probabilities (n, C) for the classes y (n,)."""
    said = probability.argmax(axis=1)
    own = probability[np.arange(len(y)), y]
    found: dict[str, Scores] = {
        "accuracy": (said == y).astype(np.float64),
        "balanced_accuracy": Pooled("balanced_accuracy", {"label": y, "predicted": said}),
        "macro_f1": Pooled("macro_f1", {"label": y, "predicted": said}),
        "log_loss": -np.log(np.clip(own.astype(np.float64), LEAST, 1.0)),
        "calibration_error": expected_calibration_error(probability, y),
    }
    if probability.shape[1] >= MANY_CLASSES:
        better = (probability > own[:, None]).sum(axis=1)
        found["top_5"] = (better < 5).astype(np.float64)
    return found


def expected_calibration_error(probability: np.ndarray, y: np.ndarray) -> float:
    """Mean over images of how far the confidence of their bin, one of 15 of equal width, is from its accuracy (Naeini
    et al. 2015; Guo et al. 2017)."""
    sure = probability.max(axis=1).astype(np.float64)
    right = (probability.argmax(axis=1) == y).astype(np.float64)
    bins = np.minimum((sure * _BINS).astype(np.int64), _BINS - 1)
    apart = np.bincount(bins, sure - right, minlength=_BINS)
    return float(np.abs(apart).sum() / max(1, len(y)))
