"""The verdict on a summary, by a rule.

(1) It says what share of the full-data metric the summary keeps, with which share of the rows and of the bytes.
(2) It names the best cheap baseline of the same size; when that one's interval overlaps the summary's (or lies above
    it), it says that the cheap one would do.
(3) When the interval is wider than 10 points, or the learner does not beat its floor on the full data, it says
    "undetermined" and what would settle it.

The baseline is the one that tests best. Choosing it on test data can only flatter the baseline, never the summary.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from worker.evidence import wording
from worker.evidence.comparison import Comparison
from worker.evidence.measurements import Measurements
from worker.evidence.statistics import Estimate
from worker.evidence.table import finite

WIDEST = 0.10
Status = Literal["keeps", "cheap_would_do", "undetermined"]


@dataclass(frozen=True)
class BaselineVerdict:
    """The best cheap baseline. `ahead`: summary minus baseline in shares of the full-data metric, paired."""

    name: str
    label: str
    fidelity: float
    low: float
    high: float
    n: int
    seeds: int
    ahead: float
    ahead_low: float
    ahead_high: float
    overlaps: bool
    unit: str = "ratio"


@dataclass(frozen=True)
class Verdict:
    """The verdict in words (`sentence`) and in fields. Shares and fidelity are ratios (0.964 is 96.4 %)."""

    status: Status
    sentence: str
    learner: str
    learner_label: str
    learner_because: str
    metric: str
    metric_label: str
    fidelity: float | None
    low: float | None
    high: float | None
    n: int
    seeds: int
    rows_share: float
    bytes_share: float
    baseline: BaselineVerdict | None = None
    reasons: tuple[str, ...] = ()
    settled_by: tuple[str, ...] = ()
    unit: str = "ratio"

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        fields = asdict(self)
        if self.baseline is not None:
            fields["baseline"] = {key: finite(value) for key, value in fields["baseline"].items()}
        return {key: list(value) if isinstance(value, tuple) else finite(value) for key, value in fields.items()}


def choose_learner(m: Measurements) -> tuple[str, str]:
    """The learner the verdict speaks of, and why: (name, reason); ("", reason) when no learner was measured on both.

    It is the one the summary was optimised for, else the one that is best on validation data when trained on
    the full data; floors are never chosen.
    """
    able = [
        learner.name
        for learner in m.learners
        if not learner.floor and m.of(learner.name, m.full.name) and m.of(learner.name, m.summary.name)
    ]
    if not able:
        return "", "no learner was trained on both the full data and the summary"
    if m.optimised_for in able:
        return m.optimised_for, "the learner this summary was optimised for"
    sign = 1.0 if m.metric.higher_is_better else -1.0

    def on_validation(name: str) -> float:
        scores = [r.validation for r in m.of(name, m.full.name) if r.validation is not None]
        return sign * float(np.mean(scores)) if scores else -math.inf

    return max(able, key=on_validation), "the learner that is best on validation data when trained on the full data"


def best_baseline(c: Comparison, learner: str, own_method: str = "") -> tuple[str, Estimate] | None:
    """The cheap baseline of equal size (rows or events) that keeps most: (set name, fidelity).

    A baseline made by the method that made the summary is the summary itself, so it is left out.
    """
    own = {own_method, c.measurements.made_by} - {""}
    found = [
        (s.name, estimate)
        for s in c.measurements.sets
        if s.role == "baseline" and s.equal != "bytes" and s.method not in own
        if (estimate := c.fidelity(learner, s.name)) is not None and math.isfinite(estimate.value)
    ]
    return max(found, key=lambda pair: pair[1].value) if found else None


def doubts(c: Comparison, learner: str, kept: Estimate | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Why nothing can be said, and what would settle it; both empty when the figures can be trusted."""
    m = c.measurements
    if kept is None or not math.isfinite(kept.value):
        return ("the learner scores nothing on the full data",), (f"a learner that works on these {m.units}",)
    reasons, cures = [], []
    if not kept.width <= WIDEST:
        reasons.append(f"the interval is {wording.number(100 * kept.width, 1)} points wide, more than 10")
        cures.append(_more_units(m, kept))
    name = m.learner(learner).label
    for floor in (one for one in m.learners if one.floor):
        lead = c.lead(learner, floor.name)
        if lead is not None and not lead.low > 0:
            reasons.append(
                f"{name} trained on the full data does not beat its floor, {floor.label} "
                f"({wording.points(lead, m.metric.scale)} {m.metric.unit} of {m.metric.label})"
            )
            cures.append("a stronger learner, or data in which there is more to learn than the floor knows")
    return tuple(reasons), tuple(cures)


def decide(c: Comparison, own_method: str = "") -> Verdict:
    """Apply the rule. `own_method`: name of the method that made the summary."""
    m = c.measurements
    learner, because = choose_learner(m)
    kept = c.fidelity(learner, m.summary.name) if learner else None
    reasons, cures = doubts(c, learner, kept) if learner else ((because,), ("a learner trained on both",))
    best = best_baseline(c, learner, own_method) if learner else None
    baseline = None
    if best is not None and kept is not None and math.isfinite(kept.value):
        baseline = _against(c, learner, kept, *best)
    status: Status = "keeps"
    if reasons:
        status = "undetermined"
    elif baseline is not None and baseline.high >= (kept.low if kept else math.inf):
        status = "cheap_would_do"
    verdict = Verdict(
        status=status,
        sentence="",
        learner=learner,
        learner_label=m.learner(learner).label if learner else "",
        learner_because=because,
        metric=m.metric.name,
        metric_label=m.metric.label,
        fidelity=kept.value if kept else None,
        low=kept.low if kept else None,
        high=kept.high if kept else None,
        n=kept.n if kept else m.n_test,
        seeds=kept.seeds if kept else 0,
        rows_share=m.summary.rows / m.full.rows if m.full.rows else math.nan,
        bytes_share=m.summary.bytes / m.full.bytes if m.full.bytes else math.nan,
        baseline=baseline,
        reasons=reasons,
        settled_by=cures,
    )
    return replace(verdict, sentence=_sentence(verdict))


def _against(c: Comparison, learner: str, kept: Estimate, name: str, other: Estimate) -> BaselineVerdict:
    m = c.measurements
    label = next(s.label for s in m.sets if s.name == name)
    ahead = c.fidelity_difference(learner, name)
    return BaselineVerdict(
        name=name,
        label=label,
        fidelity=other.value,
        low=other.low,
        high=other.high,
        n=other.n,
        seeds=other.seeds,
        ahead=ahead.value,
        ahead_low=ahead.low,
        ahead_high=ahead.high,
        overlaps=kept.overlaps(other),
    )


def _more_units(m: Measurements, kept: Estimate) -> str:
    if not math.isfinite(kept.width):
        return f"more test {m.test_units}"
    # An interval shrinks with the root of the number of test units; two digits are all this estimate is worth.
    needed = kept.n * (kept.width / WIDEST) ** 2
    rounded = int(float(f"{needed:.2g}"))
    more = f"about {wording.number(rounded)} test {m.test_units} instead of {wording.number(kept.n)}"
    return f"{more}, and more learner seeds" if kept.seeds > 1 else more


def _sentence(v: Verdict) -> str:
    parts = [_doubt(v) if v.status == "undetermined" else _claim(v)]
    if v.baseline is not None:
        parts.append(_beside(v, v.baseline))
    elif v.status == "keeps":
        parts.append("No other cheap baseline of the same size was measured.")
    if v.status == "undetermined" and v.settled_by:
        parts.append(f"What would settle it: {'; '.join(dict.fromkeys(v.settled_by))}.")
    return " ".join(parts)


def _claim(v: Verdict) -> str:
    but = "but" if v.bytes_share > 1 else "and"
    kept = wording.percent(_estimate(v))
    return (
        f"Keeps {kept} of full-data {v.metric_label} ({v.learner_label}) with {wording.share(v.rows_share)} of the "
        f"rows {but} {wording.share(v.bytes_share)} of the bytes."
    )


def _doubt(v: Verdict) -> str:
    measured = ""
    if v.fidelity is not None and math.isfinite(v.fidelity):
        measured = f" Measured: {wording.percent(_estimate(v))} of full-data {v.metric_label} ({v.learner_label})."
    return f"Undetermined: {'; '.join(v.reasons)}.{measured}"


def _beside(v: Verdict, b: BaselineVerdict) -> str:
    kept = wording.percent(Estimate(b.fidelity, b.low, b.high, b.n, b.seeds))
    text = f"The best cheap baseline of the same size, {b.label}, keeps {kept}"
    if v.status != "cheap_would_do":
        return f"{text}."
    if not b.overlaps:
        return f"{text}: the cheap one is better."
    if b.ahead_low > 0:
        ahead = wording.points(Estimate(b.ahead, b.ahead_low, b.ahead_high, b.n, b.seeds))
        return (
            f"{text}: the intervals overlap, so the cheap one would do, though the summary is ahead by {ahead} points."
        )
    return f"{text}: the intervals overlap, so the cheap one would do."


def _estimate(v: Verdict) -> Estimate:
    def known(value: float | None) -> float:
        return math.nan if value is None else value

    return Estimate(known(v.fidelity), known(v.low), known(v.high), v.n, v.seeds)
