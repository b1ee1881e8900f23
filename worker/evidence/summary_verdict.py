"""The verdict on a summary, by a rule.

(1) The sentence says which share of the full-data metric the summary keeps (one learner, trained on either, tested on
    the same units), with which share of the rows and of the bytes.
(2) Beside it stands the best cheap baseline that is not larger in rows or not larger in bytes. It is the one that tests
    best: choosing it on test data can only flatter the baseline, never the summary. The paired difference between the
    two shares decides, whatever their own intervals do: above 0 `ahead`, below 0 `cheap_is_better`, holding 0
    `cheap_would_do`.
(3) A summary that a baseline's own method made is a cheap pick. It is called so, the baselines of its own method are
    reported as further draws of the same, and it is never `ahead`: `cheap_is_better` when another cheap one is, else
    `cheap_pick`.
(4) `undetermined` is said when the learner on the full data does not beat its floor (the interval of the paired lead is
    not above 0), when there are fewer than 6 test units, of which no resampling has a 95 % interval, or when NEITHER
    the share nor the difference is known. The difference is unknown when its interval holds 0. The share is unknown
    when its interval reaches from that of the best floor on the full data (0.5 where none was measured) up to 1: it
    cannot tell a useless summary from a perfect one. So there is no width that decides, and a wide interval never
    undoes a clear lead.
(5) A summary larger than its source carries that as a caveat into the headline.
(6) So does one with a mark that the best cheap baseline has not: it was made with what the baseline may not look at, so
    being ahead of it is no like for like, and the tone is never good. The sentence says the same beside the difference.
(7) So does one that keeps clearly less of the metric that guards the primary one (`Measurements.guard`): more than 5
    points less, and the interval of the paired difference below 0. What a mean over units hides, as the loss of all
    rare labels, is then said beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from worker.contract.learner import Learner
from worker.evidence import wording
from worker.evidence.cheap import Rival, of_method, rivals
from worker.evidence.comparison import Comparison
from worker.evidence.learners import BestAgainstBest, best_against_best, named
from worker.evidence.measurements import Measurements, TrainingSet
from worker.evidence.ordering import Ordering, ordering
from worker.evidence.statistics import Estimate
from worker.evidence.verdict import Status, Verdict, beside_cheap

# Best against best is worth a sentence when it differs by more than this from the share of the named learner.
_APART = 0.02
_USELESS = 0.5
_HIDDEN = 0.05
_NOBODY_HAS = 1e9
FEWEST_UNITS = 6
"""Test units below which no resampling has a 95 % interval: even from the least to the most of n units an interval
misses the median with a probability of 2^(1 - n)."""


@dataclass(frozen=True)
class Judged:
    """What is known of one summary: everything its verdict, sentence and key figures are made of.

    `reached`: the metric of the learner on the summary, and on the full data. `hidden`: the share of the guarding
    metric that it keeps, where that is clearly less than the share of the primary one, else None. `is_cheap_pick`: a
    method made it that also makes baselines. `same`: the best of that method's baselines, None where none was measured;
    `best`: the best cheap alternative of another method.
    """

    measurements: Measurements
    summary: TrainingSet
    learner: Learner | None
    because: str
    share: Estimate | None
    reached: tuple[float, float] | None
    hidden: Estimate | None
    is_cheap_pick: bool
    same: Rival | None
    best: Rival | None
    best_against_best: BestAgainstBest | None
    ordering: Ordering
    reasons: tuple[str, ...]
    settled_by: tuple[str, ...]

    @property
    def rows_share(self) -> float:
        """Its rows / those of the full data."""
        full = self.measurements.full
        return self.summary.rows / full.rows if full.rows else math.nan

    @property
    def bytes_share(self) -> float:
        """Its bytes / those of the full data in the same encoding."""
        full = self.measurements.full
        return self.summary.bytes / full.bytes if full.bytes else math.nan

    @property
    def apart(self) -> str:
        """The mark of the summary where it stands beside sets without it, "" where all is like for like."""
        mark = self.summary.mark
        return "" if self.best is not None and self.best.set.mark == mark else mark

    @property
    def caveat(self) -> str:
        """What the headline must carry, to go on after "it"; "" where there is nothing."""
        larger = "is larger than its source" if self.bytes_share > 1 else ""
        return " and ".join(part for part in (larger, self.keeps_less, self.apart) if part)

    @property
    def keeps_less(self) -> str:
        """What it keeps of the guarding metric, where the primary one hides that, "" elsewhere; to go on after "it"."""
        m = self.measurements
        guard = next((one for one in m.metrics if one.name == m.guard), None)
        if self.hidden is None or guard is None:
            return ""
        return f"keeps only {wording.percent(self.hidden)} of full-data {guard.label}"

    @property
    def status(self) -> Status:
        """The rule."""
        if self.reasons:
            return "undetermined"
        found = "measured" if self.best is None else beside_cheap(self.best.ahead.low, self.best.ahead.high)
        return "cheap_pick" if self.is_cheap_pick and found != "cheap_is_better" else found


def judge(c: Comparison, summary: TrainingSet) -> tuple[Judged, Verdict]:
    """What is known of a summary, and the verdict."""
    known = _known(c, summary)
    share = known.share
    verdict = Verdict(
        status=known.status,
        sentence=_sentence(known),
        value=share.value if share else None,
        low=share.low if share else None,
        high=share.high if share else None,
        unit="ratio",
        reasons=known.reasons,
        settled_by=known.settled_by,
        caveat=known.caveat,
        details=_details(known),
    )
    return known, verdict


def _known(c: Comparison, summary: TrainingSet) -> Judged:
    m = c.measurements
    learner, because = named(c, summary.name)
    found = rivals(c, learner.name, summary) if learner else []
    share = c.share(learner.name, summary.name) if learner else None
    kept = share.estimate if share else None
    method = m.origins[summary.name].method if summary.name in m.origins else ""
    same = of_method(found, method)
    others = [rival for rival in found if rival not in same]
    best = others[0] if others else None
    if learner is None or kept is None:
        reasons, cures = (because,), ("a learner that is measured on both",)
    else:
        reasons, cures = _reasons(c, learner, kept, best)
    return Judged(
        measurements=m,
        summary=summary,
        learner=learner,
        because=because,
        share=kept,
        reached=_reached(c, learner, summary),
        hidden=_hidden(c, learner, summary),
        is_cheap_pick=any(one.role == "baseline" and method and one.method == method for one in m.sets),
        same=same[0] if same else None,
        best=best,
        best_against_best=best_against_best(c, summary.name),
        ordering=ordering(m, summary.name),
        reasons=reasons,
        settled_by=cures,
    )


def _reached(c: Comparison, learner: Learner | None, summary: TrainingSet) -> tuple[float, float] | None:
    if learner is None:
        return None
    on_summary, on_full = c.mean(learner.name, summary.name), c.mean(learner.name, c.measurements.full.name)
    return None if on_summary is None or on_full is None else (on_summary.value, on_full.value)


def _hidden(c: Comparison, learner: Learner | None, summary: TrainingSet) -> Estimate | None:
    """The share of the guarding metric, where it is clearly smaller than that of the primary one."""
    guard = c.measurements.guard
    if learner is None or not guard:
        return None
    first, second = c.share(learner.name, summary.name), c.share(learner.name, summary.name, guard)
    if first is None or second is None:
        return None
    apart = (second - first).estimate
    return second.estimate if apart.value < -_HIDDEN and apart.high < 0 else None


def _reasons(c: Comparison, learner: Learner, share: Estimate, best: Rival | None) -> tuple[tuple[str, ...], ...]:
    """Why nothing can be said, and what would settle it; both empty when the figures can be trusted."""
    m = c.measurements
    if not math.isfinite(share.value):
        return (f"{learner.label} scores nothing on the full data",), (f"a learner that works on these {m.units}",)
    reasons: list[str] = []
    cures: list[str] = []
    for floor in (one for one in m.learners if one.floor):
        lead = c.lead(learner.name, floor.name)
        if lead is not None and not _above_zero(lead.estimate):
            by = wording.points(lead.estimate, m.metric.scale, m.metric.decimals)
            reasons.append(
                f"{learner.label} trained on the full data does not beat its floor, {floor.label} "
                f"({by} {m.metric.unit} of {m.metric.label})".replace("  ", " ")
            )
            cures.append("a stronger learner, or data in which there is more to learn than the floor knows")
    if 0 < share.n < FEWEST_UNITS:
        unit = m.units if share.n > 1 else m.unit
        reasons.append(f"{share.n} test {unit} {'have' if share.n > 1 else 'has'} no 95\u202f% interval")
        cures.append(f"more test {m.units}: at least {FEWEST_UNITS}, and far more for a narrow one")
        return tuple(reasons), tuple(dict.fromkeys(cures))
    useless = _useless(c, learner)
    if _share_is_unknown(share, useless) and (best is None or not _decides(best.ahead)):
        full = c.mean(learner.name, m.full.name)
        near_zero = full is not None and not math.isnan(full.estimate.width)  # a share of nothing is no number
        reasons.append(_neither_is_known(share, useless, best, near_zero))
        cures.append(_more_units(m, share, useless, best, near_zero))
    return tuple(reasons), tuple(dict.fromkeys(cures))


def _above_zero(lead: Estimate) -> bool:
    return lead.value > 0 if math.isnan(lead.low) else lead.low > 0


def _useless(c: Comparison, learner: Learner) -> float:
    """The share of the full data that its best floor has: what keeps no more is useless."""
    m = c.measurements
    full = c.mean(learner.name, m.full.name)
    floors = [c.mean(one.name, m.full.name) for one in m.learners if one.floor]
    found = [c.ratio(floor, full).value for floor in floors if floor is not None and full is not None]
    return max((value for value in found if math.isfinite(value)), default=_USELESS)


def _share_is_unknown(share: Estimate, useless: float) -> bool:
    return math.isnan(share.width) or (share.low <= useless and share.high >= 1)


def _decides(ahead: Estimate) -> bool:
    return beside_cheap(ahead.low, ahead.high) in ("ahead", "cheap_is_better")


def _neither_is_known(share: Estimate, useless: float, best: Rival | None, near_zero: bool) -> str:
    if math.isnan(share.width) and near_zero:
        text = "the full data may as well score nothing, by its own interval, so a share of it has none"
    elif math.isnan(share.width):
        text = "this metric has no value per unit, so the share has no interval"
    else:
        floor = "half" if useless == _USELESS else f"what a floor has ({wording.number(100 * useless, 1)}\u202f%)"
        ends = wording.ends(share.low, share.high, 100)
        text = f"the interval of the share, {ends}\u202f%, reaches from {floor} to all of it"
    if best is None:
        return text
    if math.isnan(best.ahead.width):
        return f"{text}, and so has the difference to the best cheap baseline"
    return f"{text}, and that of the difference to the best cheap baseline holds 0"


def _more_units(m: Measurements, share: Estimate, useless: float, best: Rival | None, near_zero: bool) -> str:
    """An interval shrinks with the root of the number of test units; two digits are all this estimate is worth."""
    if math.isnan(share.width) and near_zero:
        return f"about {wording.number(2 * share.n)} test {m.test.units} instead of {wording.number(share.n)}"
    if math.isnan(share.width):
        return f"a metric with a value for each of the test {m.test.units}"
    needed = [share.n * (share.width / max(1 - useless, 1e-9)) ** 2]
    if best is not None and best.ahead.value and math.isfinite(best.ahead.width):
        needed.append(share.n * (best.ahead.width / 2 / abs(best.ahead.value)) ** 2)
    enough = min((one for one in needed if share.n < one < _NOBODY_HAS), default=2 * share.n)
    enough = max(enough, share.n + 1)
    about = (
        f"about {wording.number(int(float(f'{enough:.2g}')))} test {m.test.units} instead of {wording.number(share.n)}"
    )
    return f"{about}, and more learner seeds" if share.seeds > 1 else about


def _sentence(j: Judged) -> str:
    parts = [_doubt(j) if j.reasons else _claim(j)]
    if j.is_cheap_pick:
        parts.append(_same(j.same))
    if j.best is not None:
        parts.append(_beside(j, j.best))
    elif not j.reasons:
        other = "other " if j.is_cheap_pick else ""
        parts.append(f"No {other}cheap baseline of at most its {j.measurements.units} or bytes was measured beside it.")
    if j.keeps_less:
        parts.append(f"It {j.keeps_less}.")
    if j.apart:
        beside = ", which the cheap one was not: their difference is no like for like" if j.best is not None else ""
        parts.append(f"It {j.apart}{beside}.")
    parts.append(_at_best(j))
    if j.reasons and j.settled_by:
        parts.append(f"What would settle it: {'; '.join(j.settled_by)}.")
    return " ".join(part for part in parts if part)


def _claim(j: Judged) -> str:
    m = j.measurements
    size = f"{wording.share(j.bytes_share)} of the bytes"
    return (
        f"Keeps {_kept(j)} with {wording.share(j.rows_share)} of the {m.units} "
        f"{f'but {size}: it is larger than its source' if j.bytes_share > 1 else f'and {size}'}."
    )


def _doubt(j: Judged) -> str:
    text = f"Undetermined: {'; '.join(j.reasons)}."
    if j.share is not None and math.isfinite(j.share.value):
        text += f" Measured: {_kept(j)}."
    return f"{text} It is larger than its source." if j.bytes_share > 1 else text


def _kept(j: Judged) -> str:
    """The share; where less is better, its two sides beside it, since more than 100 % then means fewer."""
    share, metric = wording.percent(j.share) if j.share is not None else wording.NOTHING, j.measurements.metric
    learner = j.learner.label if j.learner else ""
    if j.reached is not None and not metric.higher_is_better:
        mine, full = (wording.number(metric.scale * value, metric.decimals) for value in j.reached)
        learner = f"{learner}: {mine} against {full}, less is better"
    return f"{share} of full-data {metric.label} ({learner})"


def _same(same: Rival | None) -> str:
    if same is None:
        return "It is itself a cheap pick, of which no other draw was measured."
    if same.repeats:
        return f"It is itself a cheap pick, {same.set.label}: picked again it is the same."
    number = same.draws
    return (
        f"It is itself a cheap pick: {f'{number} other draws of ' if number > 1 else ''}{same.set.label}"
        f"{' keep' if number > 1 else ', picked once more, keeps'} {wording.percent(same.share)}."
    )


def _beside(j: Judged, best: Rival) -> str:
    m = j.measurements
    equal = {"rows": m.units, "bytes": "bytes", "events": m.event}[best.set.equal]
    size = "" if f"equal {equal}" in best.set.label else f" (as many {equal}{_larger(m, best)})"
    other = "other " if j.is_cheap_pick else ""
    text = f"The best {other}cheap baseline, {best.set.label}{size}, keeps {wording.percent(best.share)}"
    ahead = f"{wording.points(best.ahead)} points"
    match beside_cheap(best.ahead.low, best.ahead.high) if best.ahead.n >= FEWEST_UNITS else "undetermined":
        case "ahead":
            return f"{text}: this is ahead by {ahead}."
        case "cheap_is_better":
            return f"{text}: the cheap one is better, the difference being {ahead}."
        case "cheap_would_do" if not j.reasons:
            return f"{text}: the difference, {ahead}, may be none, so the cheap one would do."
        case _:
            return f"{text}: a difference of {ahead}."


def _larger(m: Measurements, best: Rival) -> str:
    """What share of the bytes a pick of as many rows takes, where that is more than the summary's."""
    if best.set.bytes <= m.summary.bytes:
        return ""
    return f", but {wording.share(best.set.bytes / m.full.bytes)} of the bytes"


def _at_best(j: Judged) -> str:
    found = j.best_against_best
    if found is None or j.share is None or not abs(found.share.value - j.share.value) > _APART:
        return ""
    return (
        f"Best against best: the best learner on it ({found.on_summary.label}) reaches {wording.percent(found.share)} "
        f"of the best on the full data ({found.on_full.label})."
    )


def _details(j: Judged) -> dict[str, Any]:
    m = j.measurements
    return {
        "summary": j.summary.name,
        "learner": j.learner.name if j.learner else "",
        "learner_label": j.learner.label if j.learner else "",
        "learner_because": j.because,
        "metric": m.metric.name,
        "metric_label": m.metric.label,
        "n": m.test.n,
        "seeds": j.share.seeds if j.share else 0,
        "draws": j.share.draws if j.share else 0,
        "rows_share": j.rows_share,
        "bytes_share": j.bytes_share,
        "larger_than_source": j.bytes_share > 1,
        "baseline": j.best.to_json() if j.best else None,
        "own_method": j.same.to_json() if j.same else None,
        "best_against_best": j.best_against_best.to_json() if j.best_against_best else None,
        "ordering": j.ordering.to_json(),
    }
