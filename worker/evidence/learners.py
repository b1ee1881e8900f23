"""Which learner a verdict speaks of, and the best learner on the summary against the best on the full data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.learner import Learner
from worker.evidence.comparison import Comparison
from worker.evidence.measurements import Measurements
from worker.evidence.statistics import Estimate


def named(c: Comparison, summary: str) -> tuple[Learner | None, str]:
    """The learner the verdict on a summary speaks of, and why it does; None where none was measured on both.

    It is the one the summary was optimised for, else the one that is best on validation data when trained on the full
    data; floors are never chosen, and test figures choose nothing.
    """
    m = c.measurements
    able = [one for one in _trained(c, m.full.name) if c.mean(one.name, summary) is not None]
    if not able:
        return None, "no learner was measured both on the full data and on the summary"
    target = m.origins[summary].optimised_for if summary in m.origins else ""
    for one in able:
        if one.name == target:
            return one, "the learner this summary was optimised for"
    best = max(able, key=lambda one: _on_validation(m, one.name, m.full.name))
    return best, "the learner that is best on validation data when trained on the full data"


@dataclass(frozen=True)
class BestAgainstBest:
    """The best learner on the summary over the best learner on the full data, each the best on validation data."""

    on_summary: Learner
    on_full: Learner
    share: Estimate

    def to_json(self) -> dict[str, Any]:
        """JSON fields; the share is a ratio."""
        return {
            "summary_learner": self.on_summary.name,
            "full_learner": self.on_full.name,
            "value": self.share.value,
            "low": self.share.low,
            "high": self.share.high,
            "n": self.share.n,
            "unit": "ratio",
        }


def best_against_best(c: Comparison, summary: str) -> BestAgainstBest | None:
    """The comparison; None where no learner was scored on validation data on either side."""
    m = c.measurements
    on_summary, on_full = _best(c, summary), _best(c, m.full.name)
    if on_summary is None or on_full is None:
        return None
    first, second = c.mean(on_summary.name, summary), c.mean(on_full.name, m.full.name)
    if first is None or second is None:
        return None
    return BestAgainstBest(on_summary, on_full, c.ratio(first, second).estimate)


def _best(c: Comparison, set_name: str) -> Learner | None:
    m = c.measurements
    scored = [one for one in _trained(c, set_name) if _on_validation(m, one.name, set_name) > -math.inf]
    return max(scored, key=lambda one: _on_validation(m, one.name, set_name), default=None)


def _trained(c: Comparison, set_name: str) -> list[Learner]:
    return [one for one in c.measurements.learners if not one.floor and c.mean(one.name, set_name) is not None]


def _on_validation(m: Measurements, learner: str, set_name: str) -> float:
    """The primary metric on validation data, higher is better; minus infinity where it was not measured."""
    scores = [r.validation for r in m.of(learner, set_name) if r.validation is not None]
    sign = 1.0 if m.metric.higher_is_better else -1.0
    return sign * float(np.mean(scores)) if scores else -math.inf
