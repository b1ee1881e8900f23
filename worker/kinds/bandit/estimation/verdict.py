"""The verdict on target policies, by a rule: better, worse, or "the logs cannot tell" and why.

Only the unsmoothed gain over the logging policy decides (`worker.kinds.bandit.gain`), with everything the log cannot
speak of counted between the least and the largest reward. A target is better (worse) when the p value of its gain,
after Holm over all targets, lies below two fifths of alpha, and the claim stands while propensities are off by the
factor `trust`. The logs cannot tell, whatever the gain, where the propensities disagree with the log, where it is worth
less than one round, where fewer than five users acted, and where mass is missing and rewards have no declared range.

With a margin a target is also *not worse* where its gain is shown to lie above minus the margin, under the same gates
and Holm's correction over the targets. What lies above zero lies above minus the margin, too, so asking this beside
"better" costs nothing. Guardrails (`estimation.beside`) change no status; one that is not shown to hold is a caveat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from worker.evidence.verdict import Status, Verdict
from worker.evidence.wording import decimals_of, number, share
from worker.kinds.bandit.estimation.beside import CLAIMS, with_guardrails
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


def of_target(
    found: TargetEstimate, logging: Estimated, p: float | None = None, p_within: float | None = None
) -> Verdict:
    """Apply the rule to one target; its value is the selected estimate. `p`, `p_within`: the gain's p value and that of
    its lying within the margin, both after Holm.
    """
    gain, alpha = found.over_logging, logging.interval.alpha
    p, p_within = (gain.p if p is None else p), (_p_within(found) if p_within is None else p_within)
    forbidden = _disqualifying(found)
    doubts = forbidden or _undecided(found, p, alpha)
    status: Status = "cannot_tell" if doubts else "better" if gain.p_better < gain.p_worse else "worse"
    if gain.margin is not None and status != "better" and not forbidden:
        if p_within < CLAIM * alpha and gain.margin.within_to >= found.trust:
            status, doubts = "not_worse", []
        elif doubts:
            doubts = [*doubts, _Doubt("it is not shown to stay within the margin", "a wider margin")]
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
            "turns_at": _turns_at(found, status),
            "sign_turns_at": None if red or gain.open or gain.few else gain.sign_to,
            "margin": None if gain.margin is None else gain.margin.width,
            "p_within_margin": None if red or gain.margin is None else p_within,
            "reliability": found.reliability,
            "policy_ess": found.diagnostics.policy_ess,
        },
    )


def of_targets(found: list[TargetEstimate], logging: Estimated) -> tuple[Verdict, str]:
    """The verdict on all targets together, and it in a line; every target's own is among the details.

    Better if any target is, else not worse if any is not, worse if all are; the value is that of the best of those that
    are better (not worse), or of the only one.
    """
    p, within = [one.over_logging.p for one in found], [_p_within(one) for one in found]
    each = zip(found, holm(p).tolist(), holm(within).tolist(), strict=True)
    verdicts = [of_target(one, logging, *after) for one, *after in each]
    own = [q if one.status == "not_worse" else q0 for one, q0, q in zip(verdicts, p, within, strict=True)]
    verdicts = with_guardrails(verdicts, found, own, logging.interval.alpha)
    claimed = _those(verdicts, "better") or _those(verdicts, "not_worse")
    named = max(claimed or verdicts[:1], key=lambda one: one.value or 0.0)
    earned = logging.interval
    details: dict[str, Any] = {
        "logging": {"value": earned.value, "low": earned.low, "high": earned.high},
        "targets": [one.to_json() for one in verdicts],
    }
    if len(verdicts) == 1:
        return replace(named, details=details), _headline(verdicts, named)
    known = named if claimed else None
    every = all(one.status == "worse" for one in verdicts)
    verdict = Verdict(
        known.status if known is not None else "worse" if every else "cannot_tell",
        " ".join(one.sentence for one in verdicts),
        value=None if known is None else known.value,
        low=None if known is None else known.low,
        high=None if known is None else known.high,
        unit=UNIT,
        reasons=tuple(f"{one.details['name']}: {reason}" for one in verdicts for reason in one.reasons),
        settled_by=tuple(dict.fromkeys(what for one in verdicts for what in one.settled_by)),
        caveat=named.caveat if claimed else "",
        details=details,
    )
    return verdict, _headline(verdicts, named)


def _those(verdicts: list[Verdict], status: Status) -> list[Verdict]:
    return [one for one in verdicts if one.status == status]


def _headline(verdicts: list[Verdict], best: Verdict) -> str:
    """The decision in a line, with its light, or with what stands in its way."""
    name, light, several = best.details["name"], f" ({best.details['reliability']})", len(verdicts) > 1
    if best.status in CLAIMS:
        done = "not have done worse" if best.status == "not_worse" else f"have done {'best' if several else 'better'}"
        beside = best.details["beside"]
        return f"{name} would {done}{', ' if beside else ''}{beside}{light}"
    if len(_those(verdicts, "worse")) == len(verdicts):
        return "None would have done better" if several else f"{name} would have done worse{light}"
    reasons = {one.reasons[:1] for one in verdicts}
    if several and len(reasons) > 1:
        red = sum(one.details["reliability"] == "red" for one in verdicts)
        return f"The logs cannot tell{f': {red} of {len(verdicts)} targets are red' if red else ''}"
    return f"The logs cannot tell: {best.reasons[0]}{'' if several else light}"


def _p_within(found: TargetEstimate) -> float:
    """Twice the p value of the gain's lying within the margin, so that it compares with two-sided ones."""
    margin = found.over_logging.margin
    return 1.0 if margin is None else min(1.0, 2 * margin.p_within)


def _turns_at(found: TargetEstimate, status: Status) -> float | None:
    """The factor by which propensities must be off for a claim to turn; None where there is none."""
    gain = found.over_logging
    within = None if gain.margin is None else gain.margin.within_to
    return {"better": gain.better_to, "worse": gain.worse_to, "not_worse": within}.get(status)


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
    holds = f" It holds unless propensities are off by a factor of {number(_turns_at(found, status), 3)}."
    if status == "not_worse" and gain.margin is not None:
        margin = number(gain.margin.width, decimals_of(0.0, gain.margin.width))
        return (
            f"{found.name} would not have earned less than the logging policy by more than the margin of {margin} a "
            f"round: the difference is {signed(gain.value, gain.low, gain.high)}. It would have earned {estimate} a "
            f"round, the logging policy earned {earned}.{holds}"
        )
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
