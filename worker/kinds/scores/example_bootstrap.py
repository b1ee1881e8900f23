"""Calibration of one group of examples, with 95 % intervals over examples.

What is drawn is an example of a benchmark with the answers of all runs to it: answers of several runs to one question
are not independent. Calibration errors grow when examples are drawn again, so their intervals are reflected (the basic
bootstrap, Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 5.2) and then end at the value
or above it; the others are percentile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worker.contract.context import Context
from worker.kinds.scores import calibration
from worker.kinds.scores.calibration import Bins

_AT_ONCE = 2_000_000
_REFLECTED = ("ece", "ece_equal_count", "mce")
FEWEST = 20


@dataclass(frozen=True)
class Calibration:
    """Metrics of a group by name: value, low, high; NaN where there is none. `n`: answers, `units`: examples."""

    n: int
    units: int
    accuracy: float
    confidence: float
    values: dict[str, tuple[float, float, float]]


def calibrate(
    confidence: np.ndarray, correct: np.ndarray, unit: np.ndarray, ctx: Context, *, bins: int, resamples: int
) -> Calibration:
    """Calibration of answers (n,): `correct` 0 or 1, `unit` whole numbers that name the example of each."""
    order = np.argsort(confidence, kind="stable")  # once, instead of in every metric of every block
    confidence, correct, unit = confidence[order], correct[order], unit[order]
    measure = _measurer(confidence, correct, bins)
    values = {name: float(one[0]) for name, one in measure(np.ones((1, len(confidence)))).items()}
    units, unit = np.unique(unit, return_inverse=True)
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in values}
    rng, done = ctx.rng, 0
    while done < resamples and len(units) >= FEWEST:
        ctx.progress(done, resamples)
        count = min(resamples - done, max(1, _AT_ONCE // len(confidence)))
        picked = np.stack([np.bincount(rng.integers(0, len(units), len(units)), minlength=len(units))
                           for _ in range(count)])  # fmt: skip
        for name, found in measure(picked[:, unit].astype(np.float64)).items():
            drawn[name].append(found)
        done += count
    ends = {name: _ends(name, values[name], np.concatenate(found or [np.empty(0)])) for name, found in drawn.items()}
    return Calibration(
        len(confidence),
        len(units),
        float(correct.mean()),
        float(confidence.mean()),
        {name: (value, *ends[name]) for name, value in values.items()},
    )


def _measurer(confidence: np.ndarray, correct: np.ndarray, bins: int) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    wide, counted = calibration.equal_width(confidence, bins), calibration.equal_count(confidence, bins)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        by_width = Bins.of(wide, confidence, correct, weights)
        return {
            "ece": by_width.expected,
            "ece_equal_count": Bins.of(counted, confidence, correct, weights).expected,
            "mce": by_width.maximum,
            "brier": calibration.brier(confidence, correct, weights),
            "log_loss": calibration.log_loss(confidence, correct, weights),
            "auroc": calibration.auroc(confidence, correct, weights),
            "risk_coverage": calibration.risk_coverage(confidence, correct, weights),
        }

    return measure


def _ends(name: str, value: float, drawn: np.ndarray) -> tuple[float, float]:
    known = drawn[np.isfinite(drawn)]
    if len(known) < 100:
        return np.nan, np.nan
    low, high = (float(end) for end in np.quantile(known, [0.025, 0.975]))
    if name not in _REFLECTED:
        return low, high
    return max(0.0, 2 * value - high), min(1.0, max(value, 2 * value - low))
