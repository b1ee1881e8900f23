"""The cheap alternatives of a summary: baselines that are not larger in rows, or not larger in bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from worker.evidence.comparison import Comparison
from worker.evidence.measurements import TrainingSet
from worker.evidence.statistics import Estimate
from worker.evidence.verdict import ROUNDING


@dataclass(frozen=True)
class Rival:
    """A cheap alternative, its share of the full data, and how far the summary is `ahead` of it in shares, paired.
    `draws`: how often it was drawn, where its share counts the draws of the full data, too."""

    set: TrainingSet
    share: Estimate
    ahead: Estimate
    draws: int

    @property
    def repeats(self) -> bool:
        """Whether it scores as the summary does on every unit: a pick that is the same each time."""
        return max(abs(self.ahead.value), abs(self.ahead.low), abs(self.ahead.high)) < ROUNDING

    def to_json(self) -> dict[str, Any]:
        """JSON fields; shares and their differences are ratios (0.964 is 96.4 %)."""
        return {
            "name": self.set.name,
            "label": self.set.label,
            "method": self.set.method,
            "equal": self.set.equal,
            "rows": self.set.rows,
            "bytes": self.set.bytes,
            "value": self.share.value,
            "low": self.share.low,
            "high": self.share.high,
            "ahead": self.ahead.value,
            "ahead_low": self.ahead.low,
            "ahead_high": self.ahead.high,
            "n": self.share.n,
            "draws": self.draws,
            "seeds": self.share.seeds,
            "unit": "ratio",
        }


def rivals(c: Comparison, learner: str, summary: TrainingSet) -> list[Rival]:
    """Every cheap alternative of the summary that this learner was trained on, best share first."""
    found: list[Rival] = []
    for one in c.measurements.sets:
        if one.role != "baseline" or (one.rows > summary.rows and one.bytes > summary.bytes):
            continue
        own, share = c.mean(learner, one.name), c.share(learner, one.name)
        ahead = c.ahead_in_share(learner, summary.name, one.name)
        if own is not None and share is not None and ahead is not None and math.isfinite(ahead.value):
            found.append(Rival(one, share.estimate, ahead.estimate, own.draws))
    return sorted(found, key=lambda rival: -rival.share.value)


def of_method(found: list[Rival], method: str) -> list[Rival]:
    """The alternatives that a method makes."""
    return [rival for rival in found if method and rival.set.method == method]
