"""The verdict on target policies, by a rule: better, worse, or "the logs cannot tell" and why.

A target is better (worse) than the logging policy when the interval of the paired difference lies above (below) zero.
The logs cannot tell (1) below a policy ESS of 1, where no interval is known to cover; (2) when the interval of the
difference holds zero; (3) when more than 1 % of the target's decisions were never possible in the log, unless the
bounds that hold for any reward there decide it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from worker.evidence.verdict import Status, Verdict
from worker.evidence.wording import number, share
from worker.kinds.bandit.convolution.policy_ess import UNSUPPORTED
from worker.kinds.bandit.estimation.estimate import Estimated, TargetEstimate
from worker.kinds.bandit.estimation.wording import signed, with_interval

UNIT = "reward a round"


def of_target(found: TargetEstimate, logging: Estimated) -> Verdict:
    """Apply the rule to one target; its value is the selected estimate."""
    reasons, settled_by = _why_not(found)
    difference = found.over_logging
    status: Status = "cannot_tell"
    if found.deficiency.mean > UNSUPPORTED and found.bounds is not None:
        low, high = found.bounds.widened()
        earned = logging.estimate.value
        if low > earned or high < earned:
            status, reasons, settled_by = ("better" if low > earned else "worse"), (), ()
    elif not reasons:
        status = "better" if difference.low > 0 else "worse"
    span = found.headline.interval
    return Verdict(
        status,
        _sentence(found, logging, status, reasons),
        value=span.value,
        low=span.low,
        high=span.high,
        unit=UNIT,
        reasons=reasons,
        settled_by=settled_by,
        details={
            "name": found.name,
            "over_logging": difference.value,
            "over_logging_low": difference.low,
            "over_logging_high": difference.high,
            "p": difference.p,
            "reliability": found.reliability,
            "policy_ess": found.diagnostics.policy_ess,
        },
    )


def of_targets(found: list[TargetEstimate], logging: Estimated) -> tuple[Verdict, str]:
    """The verdict on all targets together, and it in a line; every target's own is among the details.

    Better if any target is, worse if all are; the value is that of the best of the better ones, or of the only one.
    """
    verdicts = [of_target(one, logging) for one in found]
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


def _why_not(found: TargetEstimate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Why the logs cannot tell, and what would settle it; both empty where they can."""
    reasons: list[str] = []
    settled_by: list[str] = []
    diagnostics, missed = found.diagnostics, found.deficiency
    worth = diagnostics.ess if diagnostics.policy_ess is None else diagnostics.policy_ess
    if missed.mean > UNSUPPORTED and missed.known:
        reasons.append(f"{share(missed.mean)} of its decisions were never possible in the log")
        settled_by.append("logs that take these actions now and then")
    elif found.reliability == "red":
        kind = "sample" if diagnostics.policy_ess is None else "policy"
        reasons.append(f"the log is worth {number(worth, 2)} rounds of its own ({kind} ESS), fewer than one")
        settled_by.append("logs that explore more of what it would do")
    difference = found.over_logging
    if not reasons and difference.low <= 0 <= difference.high:
        reasons.append("the interval of the difference holds zero")
        settled_by.append(_more_rounds(found))
    return tuple(reasons), tuple(settled_by)


def _more_rounds(found: TargetEstimate) -> str:
    difference, n = found.over_logging, found.diagnostics.n
    half = (difference.high - difference.low) / 2
    if difference.value == 0 or not math.isfinite(half):
        return "more rounds"
    # An interval shrinks with the root of the number of rounds; two digits are all this estimate is worth.
    needed = n * (half / abs(difference.value)) ** 2
    if needed > 1e9:
        return "more rounds than anyone has: the two policies earn about the same"
    return (
        f"about {number(int(float(f'{needed:.2g}')))} rounds instead of {number(n)}, if the difference is as estimated"
    )


def _sentence(found: TargetEstimate, logging: Estimated, status: Status, reasons: tuple[str, ...]) -> str:
    value, own = found.headline.interval, logging.interval
    earned = f"{with_interval(own.value, own.low, own.high)} a round"
    estimate = with_interval(value.value, value.low, value.high)
    if status == "cannot_tell":
        shown = "" if found.reliability != "red" else ", which is not reliable"
        return (
            f"{found.name}: the logs cannot tell whether it is better or worse than the logging policy, since "
            f"{' and '.join(reasons)}. It is estimated at {estimate} a round{shown}; the logging policy earned "
            f"{earned}."
        )
    difference = signed(found.over_logging.value, found.over_logging.low, found.over_logging.high)
    text = f"{found.name} would have earned {estimate} a round, where the logging policy earned {earned}: {status} by "
    if found.deficiency.mean > UNSUPPORTED and found.bounds is not None:
        low, high = found.bounds.widened()
        ends = with_interval((low + high) / 2, low, high).partition(" ")[2]
        return (
            f"{found.name} would have earned within {ends} a round, whatever the {share(found.deficiency.mean)} of its "
            f"decisions earn that were never possible in the log; the logging policy earned {earned}: {status}."
        )
    flag = " Few rounds carry this: smoothing may have biased it." if found.reliability == "orange" else ""
    return f"{text}{difference}.{flag}"
