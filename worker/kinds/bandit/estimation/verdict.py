"""The verdict on target policies, by a rule: better, worse, or "the logs cannot tell" and why.

Only the unsmoothed gain over the logging policy decides (`worker.kinds.bandit.gain`), with everything the log cannot
speak of counted between the least and the largest reward. A target is better (worse) when the p value of its gain,
after Holm over all targets, lies below two fifths of alpha, and the claim stands while propensities are off by the
factor `trust`. The logs cannot tell, whatever the gain, where the propensities disagree with the log, where it is worth
less than one round, where fewer than five users acted, and where mass is missing and rewards have no declared range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from worker.evidence.verdict import Status, Verdict
from worker.evidence.wording import number, share
from worker.kinds.bandit.estimation.estimate import Estimated, TargetEstimate
from worker.kinds.bandit.estimation.wording import signed, with_ends
from worker.kinds.bandit.gain.gain import CLAIM
from worker.kinds.bandit.intervals import holm
from worker.kinds.bandit.overlap import UNSUPPORTED

UNIT = "reward a round"


@dataclass(frozen=True)
class _Doubt:
    """Why nothing can be said, and what would settle it."""

    reason: str
    settled_by: str


def of_target(found: TargetEstimate, logging: Estimated, p: float | None = None) -> Verdict:
    """Apply the rule to one target; its value is the selected estimate. `p`: the gain's p value after Holm."""
    gain = found.over_logging
    p = gain.p if p is None else p
    doubts = _disqualifying(found) or _undecided(found, p, logging.interval.alpha)
    status: Status = "cannot_tell" if doubts else "better" if gain.p_better < gain.p_worse else "worse"
    reasons = tuple(doubt.reason for doubt in doubts)
    span = found.headline.interval
    red = found.reliability == "red"
    return Verdict(
        status,
        _sentence(found, logging, status, reasons),
        value=None if span.method == "bounds" else span.value,
        low=span.low,
        high=span.high,
        unit=UNIT,
        reasons=reasons,
        settled_by=tuple(doubt.settled_by for doubt in doubts),
        details={
            "name": found.name,
            "over_logging": gain.value,
            "over_logging_low": gain.low,
            "over_logging_high": gain.high,
            "p": None if red else p,
            "turns_at": {"better": gain.better_to, "worse": gain.worse_to}.get(status),
            "sign_turns_at": None if red or gain.open or gain.few else gain.sign_to,
            "reliability": found.reliability,
            "policy_ess": found.diagnostics.policy_ess,
        },
    )


def of_targets(found: list[TargetEstimate], logging: Estimated) -> tuple[Verdict, str]:
    """The verdict on all targets together, and it in a line; every target's own is among the details.

    Better if any target is, worse if all are; the value is that of the best of the better ones, or of the only one.
    """
    adjusted = holm([one.over_logging.p for one in found])
    verdicts = [of_target(one, logging, float(p)) for one, p in zip(found, adjusted, strict=True)]
    named = max(_those(verdicts, "better") or verdicts[:1], key=lambda one: one.value or 0.0)
    own = logging.interval
    details: dict[str, Any] = {
        "logging": {"value": own.value, "low": own.low, "high": own.high},
        "targets": [one.to_json() for one in verdicts],
    }
    if len(verdicts) == 1:
        return replace(named, details=details), _headline(verdicts, named)
    known = named if named.status == "better" else None
    every = all(one.status == "worse" for one in verdicts)
    verdict = Verdict(
        "better" if known is not None else "worse" if every else "cannot_tell",
        " ".join(one.sentence for one in verdicts),
        value=None if known is None else known.value,
        low=None if known is None else known.low,
        high=None if known is None else known.high,
        unit=UNIT,
        reasons=tuple(f"{one.details['name']}: {reason}" for one in verdicts for reason in one.reasons),
        settled_by=tuple(dict.fromkeys(what for one in verdicts for what in one.settled_by)),
        details=details,
    )
    return verdict, _headline(verdicts, named)


def _those(verdicts: list[Verdict], status: Status) -> list[Verdict]:
    return [one for one in verdicts if one.status == status]


def _headline(verdicts: list[Verdict], best: Verdict) -> str:
    name = best.details["name"]
    if best.status == "better":
        return f"{name} would have done {'better' if len(verdicts) == 1 else 'best'}"
    if len(_those(verdicts, "worse")) == len(verdicts):
        return f"{name} would have done worse" if len(verdicts) == 1 else "None would have done better"
    return "The logs cannot tell"


def _disqualifying(found: TargetEstimate) -> list[_Doubt]:
    """What forbids any claim, whatever the gain looks like."""
    diagnostics, gain = found.diagnostics, found.over_logging
    if diagnostics.doubts:
        return [
            _Doubt(f"the propensities disagree with the log: {doubt}", "propensities as they were at every choice")
            for doubt in diagnostics.doubts
        ]
    if found.reliability == "red":
        worth, kind = diagnostics.policy_ess, "policy"
        if worth is None:
            worth, kind = diagnostics.ess, "sample"
        return [
            _Doubt(
                f"the log is worth {number(worth, 2)} rounds of its own ({kind} ESS), fewer than one",
                "logs that explore more of what it would do",
            )
        ]
    if gain.few:
        return [_Doubt("fewer than five users acted", "rounds of more users")]
    if gain.open:
        missed = _missed(found) or "nothing says that all it does was possible in the log"
        return [_Doubt(f"{missed}, and rewards have no declared range", "r_min and r_max")]
    return []


def _undecided(found: TargetEstimate, p: float, alpha: float) -> list[_Doubt]:
    """Why the gain is no claim; empty where it is one."""
    gain = found.over_logging
    better = gain.p_better < gain.p_worse
    if p >= CLAIM * alpha:
        doubts = [] if not (missed := _missed(found)) else [_Doubt(missed, _exploring(found))]
        if gain.low <= 0 <= gain.high:
            why = "the interval of the difference holds zero"
        else:
            lean = "better" if better else "worse"
            why = f"it leans to {lean}, but a claim needs p below {CLAIM * alpha:.2g} and has {p:.2g}"
        return [*doubts, _Doubt(why, _more_rounds(found))]
    turns = gain.better_to if better else gain.worse_to
    if turns < found.trust:
        return [
            _Doubt(
                f"propensities off by a factor of {number(turns, 3)} would turn it, and such as these may be off by "
                f"{found.trust:g}",
                "the logging policy itself, recorded at every choice",
            )
        ]
    return []


def _missed(found: TargetEstimate) -> str:
    """How much of the target the log cannot see, "" up to 1 %."""
    missed = found.diagnostics.missing_mass
    if found.diagnostics.logging.deterministic:
        return "every logged action had propensity 1, and a deterministic log cannot judge another policy"
    if missed <= UNSUPPORTED:
        return ""
    if found.deficiency.known:
        return f"{share(missed)} of its decisions were never possible in the log"
    return f"{share(missed)} of its decisions or more seem never to have been possible in the log"


def _exploring(found: TargetEstimate) -> str:
    if found.deficiency.known:
        return "logs that take these actions now and then"
    return "logs that take these actions now and then, or the logging policy if it does"


def _more_rounds(found: TargetEstimate) -> str:
    difference, n = found.over_logging, found.diagnostics.n
    half = (difference.high - difference.low) / 2
    if difference.value == 0 or not math.isfinite(half):
        return "more rounds"
    # An interval shrinks with the root of the number of rounds; two digits are all this estimate is worth.
    needed = n * (half / abs(difference.value)) ** 2
    if needed <= n:
        return "more rounds"
    if needed > 1e9:
        return "more rounds than anyone has: the two policies earn about the same"
    return (
        f"about {number(int(float(f'{needed:.2g}')))} rounds instead of {number(n)}, if the difference is as estimated"
    )


def _sentence(found: TargetEstimate, logging: Estimated, status: Status, reasons: tuple[str, ...]) -> str:
    span, own = found.headline.interval, logging.interval
    earned, estimate = f"{with_ends(own)} a round", with_ends(span)
    if status == "cannot_tell":
        shown = "" if found.reliability != "red" else ", which is not reliable"
        lies = "It lies" if span.method == "bounds" else "It is estimated at"
        return (
            f"{found.name}: the logs cannot tell whether it is better or worse than the logging policy, since "
            f"{' and '.join(reasons)}. {lies} {estimate} a round{shown}; the logging policy earned {earned}."
        )
    gain = found.over_logging
    turns = gain.better_to if status == "better" else gain.worse_to
    holds = f" It holds unless propensities are off by a factor of {number(turns, 3)}."
    if span.method == "bounds":
        ends = with_ends(replace(span, value=gain.value, low=gain.low, high=gain.high))
        return (
            f"{found.name} would have earned {estimate} a round, whatever the {share(found.diagnostics.missing_mass)} "
            f"of its decisions earn that were never possible in the log; the logging policy earned {earned}: "
            f"{status} by {ends.removeprefix('between ')}.{holds}"
        )
    flag = " Few rounds carry this: the estimate may be biased by smoothing." if found.reliability == "orange" else ""
    return (
        f"{found.name} would have earned {estimate} a round, where the logging policy earned {earned}: {status} by "
        f"{signed(gain.value, gain.low, gain.high)}.{holds}{flag}"
    )
