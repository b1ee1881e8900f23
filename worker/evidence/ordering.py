"""Does a summary rank configurations as the full data does? Kendall's tau-b, and the regret of its favourite.

A configuration is a learner with settings. Those that tuning tried anyway, both on the full data and on the summary
(first draw, first seed, floors apart), are ranked by the primary metric on the same validation units. tau-b after
Kendall, "The treatment of ties in ranking problems" (Biometrika, 1945); its interval is a bootstrap over validation
units. The regret is what a user loses who takes the summary's favourite to the full data. Where no configuration can be
told from the best one on the full data there is no order to keep, and nothing is said.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.learner import Settings
from worker.evidence.measurements import Measurements, Scores, columns_of
from worker.evidence.noise import as_good, behind
from worker.evidence.statistics import LEVEL, Estimate, Resampled, interval, resample, value_of

NEEDED = 12
Key = tuple[str, str]


@dataclass(frozen=True)
class Configuration:
    """A learner with settings, and its validation metric when trained on the full data and on the summary.

    `behind_full`, `behind_summary`: that metric less the one of the best configuration there, paired.
    """

    learner: str
    settings: Settings
    full: float
    summary: float
    behind_full: Estimate
    behind_summary: Estimate


@dataclass(frozen=True)
class Ordering:
    """How well the summary ranks configurations; tau and regret are None where `because` says why.

    `regret`: in units of the metric, never negative for the value itself. `regret_share`: of the best configuration's.
    """

    configurations: tuple[Configuration, ...]
    tau: Estimate | None = None
    regret: Estimate | None = None
    regret_share: float | None = None
    full_favourite: Configuration | None = None
    summary_favourite: Configuration | None = None
    because: str = ""

    @property
    def as_good(self) -> int:
        """Configurations that cannot be told from the best on the full data, itself among them."""
        return sum(as_good(one.behind_full) for one in self.configurations)

    def to_json(self) -> dict[str, Any]:
        """JSON fields."""
        return {
            "status": "undetermined" if self.tau is None else "measured",
            "configurations": len(self.configurations),
            "needed": NEEDED,
            "as_good_as_the_best": self.as_good,
            "because": self.because,
            "tau": _json(self.tau),
            "regret": _json(self.regret),
            "regret_share": self.regret_share,
            "full_favourite": _named(self.full_favourite),
            "summary_favourite": _named(self.summary_favourite),
        }


def ordering(m: Measurements, summary: str) -> Ordering:
    """Compare the rankings of the full data and of one summary."""
    on_full, on_summary = _tried(m, m.full.name), _tried(m, summary)
    common = [key for key in on_full if key in on_summary]
    full, small = [on_full[key][1] for key in common], [on_summary[key][1] for key in common]
    drawn = resample([*full, *small], resamples=m.bootstrap, seed=m.seed)
    on_all, on_part = drawn[:, : len(common)], drawn[:, len(common) :]
    higher = m.metric.higher_is_better
    found = tuple(
        Configuration(key[0], on_full[key][0], value_of(large), value_of(little), *behinds)
        for key, large, little, *behinds in zip(
            common,
            full,
            small,
            behind(full, on_all, higher=higher) if common else (),
            behind(small, on_part, higher=higher) if common else (),
            strict=True,
        )
    )
    if len(found) < NEEDED:
        return Ordering(found, because=f"{len(found)} tried on both, {NEEDED} needed")
    # Of many intervals some exclude 0 by chance: together they do at the level of one (Bonferroni).
    together = 1 - (1 - LEVEL) / (len(found) - 1)
    if all(as_good(one) for one in behind(full, on_all, higher=higher, level=together)):
        return Ordering(found, because=f"the {len(found)} tried do not differ by more than noise")
    return _ranked(m, found, [*full, *small], on_all, on_part)


def _ranked(
    m: Measurements,
    found: tuple[Configuration, ...],
    columns: Sequence[Scores],
    on_all: np.ndarray,
    on_part: np.ndarray,
) -> Ordering:
    sign = 1.0 if m.metric.higher_is_better else -1.0
    full, small = np.array([one.full for one in found]), np.array([one.summary for one in found])
    best, taken = int(np.argmax(sign * full)), int(np.argmax(sign * small))
    n = max((len(column) for one in columns for column in columns_of(one).values()), default=0)
    tau = kendall(full, small)
    if not np.isfinite(tau):
        return Ordering(found, because=f"the {len(found)} tried do not differ")
    low, high = interval(np.array([kendall(a, b) for a, b in zip(on_all, on_part, strict=True)]))
    lost = Resampled(abs(float(full[best] - full[taken])), sign * (on_all[:, best] - on_all[:, taken]), n)
    return Ordering(
        found,
        Estimate(tau, low, high, n),
        lost.estimate,
        abs(lost.value / float(full[best])) if full[best] else None,
        found[best],
        found[taken],
    )


def kendall(x: np.ndarray, y: np.ndarray) -> float:
    """Kendall's tau-b of two rankings (K,); NaN where one of them is all ties, or a value is unknown. O(K^2)."""
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        return float("nan")
    return float(kendalls(x[None], y[None])[0])


def kendalls(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """tau-b (R,) of the rows of x and y (R, K), each over what neither row has as NaN. O(R K^2), also in memory."""
    first, second = _signs(x), _signs(y)
    both = np.isfinite(first) & np.isfinite(second)
    first, second = np.where(both, first, 0.0), np.where(both, second, 0.0)
    below = np.sqrt(np.square(first).sum(axis=(1, 2)) * np.square(second).sum(axis=(1, 2)))
    with np.errstate(invalid="ignore"):
        return np.where(below > 0, (first * second).sum(axis=(1, 2)) / below, np.nan)


def _signs(x: np.ndarray) -> np.ndarray:
    return np.sign(x[:, :, None] - x[:, None, :])


def _tried(m: Measurements, set_name: str) -> dict[Key, tuple[Settings, Scores]]:
    found: dict[Key, tuple[Settings, Scores]] = {}
    for learner in m.learners:
        if learner.floor:
            continue
        for result in m.of(learner.name, set_name)[:1]:
            for one in result.tried:
                key = learner.name, json.dumps(dict(one.settings), sort_keys=True)
                if np.isfinite(value_of(one.validation)):
                    found.setdefault(key, (one.settings, one.validation))
    return found


def _json(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def _named(one: Configuration | None) -> dict[str, Any] | None:
    return None if one is None else {"learner": one.learner, "settings": dict(one.settings)}
