"""The verdict on targets of logs with steps: the rule of other logs of decisions, in the form that propensities allow.

A target is better (worse) when the p value of its gain over the logging policy, after Holm over all targets, lies below
two fifths of alpha and the claim stands while propensities are off by the factor `trust`. The logs cannot tell,
whatever the gain, where the weights contradict the propensities, are worth fewer than five units, where fewer than five
users acted, or where mass may be missing and rewards have no declared range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from worker.evidence.verdict import Status, Verdict
from worker.evidence.wording import number, share
from worker.kinds.bandit.estimation.wording import signed, with_interval
from worker.kinds.bandit.gain.gain import CLAIM
from worker.kinds.bandit.intervals import holm
from worker.kinds.bandit.stepwise.target import LEAST_WORTH, MISSING, Row, TargetResult


@dataclass(frozen=True)
class Words:
    """What units and their steps are called, and what `chance` of a logged one a weight divides by."""

    unit: str
    units: str
    step: str = ""
    chance: str = ""


def of_targets(found: list[TargetResult], logged: Row, words: Words, alpha: float) -> tuple[Verdict, str]:
    """The verdict on all targets together, and it in a line; every target's own is among the details."""
    adjusted = holm([1.0 if one.gain.open else one.gain.p for one in found])
    verdicts = [_of_target(one, logged, words, alpha, float(p)) for one, p in zip(found, adjusted, strict=True)]
    better = [one for one in verdicts if one.status == "better"]
    named = max(better or verdicts[:1], key=lambda one: one.value if one.value is not None else -math.inf)
    details: dict[str, Any] = {
        "logging": {"value": logged.value, "low": logged.low, "high": logged.high},
        "targets": [one.to_json() for one in verdicts],
    }
    name = named.details["name"]
    if len(verdicts) == 1:
        line = {"better": f"{name} would have done better", "worse": f"{name} would have done worse"}
        return replace(named, details=details), line.get(named.status, "The logs cannot tell")
    every = all(one.status == "worse" for one in verdicts)
    status: Status = "better" if better else "worse" if every else "cannot_tell"
    verdict = Verdict(
        status,
        " ".join(one.sentence for one in verdicts),
        value=named.value if better else None,
        low=named.low if better else None,
        high=named.high if better else None,
        unit=named.unit,
        reasons=tuple(f"{one.details['name']}: {reason}" for one in verdicts for reason in one.reasons),
        settled_by=tuple(dict.fromkeys(what for one in verdicts for what in one.settled_by)),
        details=details,
    )
    said = f"{name} would have done best" if better else "None would have done better" if every else ""
    return verdict, said or "The logs cannot tell"


def bounded(one: TargetResult, logged: Row) -> tuple[float, float] | None:
    """The bounds that stand for the value where more than 1 % of the decisions seem beyond the log."""
    if one.weights.missing <= MISSING or one.gain.open or not math.isfinite(one.gain.se):
        return None
    return logged.value + one.gain.low, logged.value + one.gain.high


def _of_target(one: TargetResult, logged: Row, words: Words, alpha: float, p: float) -> Verdict:
    doubts = _disqualifying(one, words) or _undecided(one, words, alpha, p)
    gain, row, ends = one.gain, one.headline, bounded(one, logged)
    status: Status = "cannot_tell" if doubts else "better" if gain.p_better < gain.p_worse else "worse"
    red = one.reliability == "red"
    reasons = tuple(reason for reason, _ in doubts)
    low, high = ends or (row.low, row.high)
    return Verdict(
        status,
        _sentence(one, logged, words, status, reasons),
        value=None if ends else row.value,
        low=_known(low),
        high=_known(high),
        unit=f"reward a {words.unit}",
        reasons=reasons,
        settled_by=tuple(what for _, what in doubts),
        details={
            "name": one.name,
            "over_logging": _known(gain.value),
            "over_logging_low": _known(gain.low),
            "over_logging_high": _known(gain.high),
            "p": None if red or gain.open else p,
            "turns_at": {"better": gain.better_to, "worse": gain.worse_to}.get(status),
            "reliability": one.reliability,
            "ess": one.worth,
        },
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _disqualifying(one: TargetResult, words: Words) -> list[tuple[str, str]]:
    """What forbids any claim, with what would settle it."""
    if one.doubts:
        return [
            (f"the propensities disagree with the log: {doubt}", "propensities as they were at every choice")
            for doubt in one.doubts
        ]
    if one.gain.few:
        return [("fewer than five users acted", "more users")]
    if one.worth < LEAST_WORTH:
        return [
            (
                f"the log is worth {number(one.worth, 1)} {words.units} of its own, fewer than five",
                f"more {words.units}, or logs that explore more of what it would do",
            )
        ]
    if one.gain.open:
        missed = _missed(one) or "nothing says that all it does was possible in the log"
        return [(f"{missed}, and rewards have no declared range", "r_min and r_max")]
    return []


def _undecided(one: TargetResult, words: Words, alpha: float, p: float) -> list[tuple[str, str]]:
    gain = one.gain
    better = gain.p_better < gain.p_worse
    if p >= CLAIM * alpha:
        missed = _missed(one)
        doubts = [(missed, "logs that do now and then what it would do")] if missed else []
        if gain.low <= 0 <= gain.high:
            why = "the interval of the difference holds zero"
        else:
            why = (
                f"it leans to {'better' if better else 'worse'}, but a claim needs p below {CLAIM * alpha:.2g} and has "
            )
            why += f"{p:.2g}"
        more = f"more {words.units}"
        return [*doubts, (f"{why}{'; ' if one.leans else ''}{one.leans}", more)]
    turns = gain.better_to if better else gain.worse_to
    if turns < one.trust:
        return [
            (
                f"{words.chance} off by a factor of {number(turns, 3)} would turn it, and such as these may be off by "
                f"{one.trust:g}",
                "the logging policy itself, recorded at every choice",
            )
        ]
    return []


def _missed(one: TargetResult) -> str:
    if one.deterministic:
        return "every logged choice was certain, and a deterministic log cannot judge another policy"
    if one.weights.missing <= MISSING:
        return ""
    return f"{share(one.weights.missing)} of what it does or more seems never to have been possible in the log"


def _sentence(one: TargetResult, logged: Row, words: Words, status: Status, reasons: tuple[str, ...]) -> str:
    row, gain = one.headline, one.gain
    earned = f"{with_interval(logged.value, logged.low, logged.high)} a {words.unit}"
    ends = bounded(one, logged)
    value = with_interval(row.value, row.low, row.high)
    if ends:
        middle = with_interval(sum(ends) / 2, *ends)
        value = f"between {middle.partition('[')[2].rstrip(']').replace(', ', ' and ')}"
    if status == "cannot_tell":
        lies = "It lies" if ends else "It is estimated at"
        shown = ", which is not reliable" if one.reliability == "red" else ""
        return (
            f"{one.name}: the logs cannot tell whether it is better or worse than the logging policy, since "
            f"{' and '.join(reasons)}. {lies} {value} a {words.unit}{shown}; the logging policy earned {earned}."
        )
    turns = gain.better_to if status == "better" else gain.worse_to
    basis = f", {one.basis}" if one.basis else ""
    return (
        f"{one.name} would have earned {value} a {words.unit}, where the logging policy earned {earned}: {status} by "
        f"{signed(gain.value, gain.low, gain.high)}{basis}. It holds unless {words.chance} is off by a factor of "
        f"{number(turns, 3)}."
    )
