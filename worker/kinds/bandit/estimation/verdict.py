"""The verdict on target policies, by a rule: better, worse, or "the logs cannot tell" and why.

A target is better (worse) than the logging policy when the interval of the paired difference lies above (below) zero.
The logs cannot tell (1) below a policy ESS of 1, where no interval is known to cover; (2) when the interval of the
difference holds zero; (3) when more than 1 % of the target's decisions were never possible in the log, unless the
bounds that hold for any reward there decide it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from worker.evidence.findings import Tone
from worker.evidence.wording import number, share
from worker.kinds.bandit.convolution.policy_ess import UNSUPPORTED
from worker.kinds.bandit.estimation.estimate import Estimated, TargetEstimate
from worker.kinds.bandit.estimation.wording import signed, with_interval

Status = Literal["better", "worse", "cannot_tell"]
TONES: dict[Status, Tone] = {"better": "good", "worse": "even", "cannot_tell": "open"}
LABELS: dict[Status, str] = {
    "better": "Better than the logging policy",
    "worse": "Worse than the logging policy",
    "cannot_tell": "The logs cannot tell",
}


@dataclass(frozen=True)
class TargetVerdict:
    """The verdict on one target, with the reason when there is none, and what would settle it."""

    name: str
    status: Status
    sentence: str
    reasons: tuple[str, ...] = ()
    settled_by: tuple[str, ...] = ()


def judge(found: TargetEstimate, logging: Estimated) -> TargetVerdict:
    """Apply the rule to one target."""
    reasons, cures = _doubts(found)
    difference = found.over_logging
    status: Status = "cannot_tell"
    if found.deficiency.mean > UNSUPPORTED and found.bounds is not None:
        low, high = found.bounds.widened()
        earned = logging.estimate.value
        if low > earned or high < earned:
            status, reasons, cures = ("better" if low > earned else "worse"), (), ()
    elif not reasons:
        status = "better" if difference.low > 0 else "worse"
    return TargetVerdict(found.name, status, _sentence(found, logging, status, reasons), reasons, cures)


def overall(verdicts: list[TargetVerdict], found: list[TargetEstimate]) -> Status:
    """Of several targets: better if any is, worse if all are."""
    if any(v.status == "better" for v in verdicts):
        return "better"
    return "worse" if all(v.status == "worse" for v in verdicts) else "cannot_tell"


def headline(verdicts: list[TargetVerdict], found: list[TargetEstimate]) -> str:
    """The verdict in a line."""
    if len(verdicts) == 1:
        words = {"better": "would have done better", "worse": "would have done worse"}
        status = verdicts[0].status
        return f"{verdicts[0].name} {words[status]}" if status in words else "The logs cannot tell"
    better = [one for one, v in zip(found, verdicts, strict=True) if v.status == "better"]
    if better:
        best = max(better, key=lambda one: one.headline.interval.value)
        return f"{best.name} would have done best"
    if all(v.status == "worse" for v in verdicts):
        return "None would have done better"
    return "The logs cannot tell"


def to_json(verdicts: list[TargetVerdict], found: list[TargetEstimate], logging: Estimated) -> dict[str, Any]:
    """The verdict's fields: of all targets together, then each."""
    status = overall(verdicts, found)
    return {
        "status": status,
        "sentence": " ".join(v.sentence for v in verdicts),
        "unit": "reward a round",
        "logging": _value(logging),
        "targets": [
            {
                "name": v.name,
                "status": v.status,
                **_value(one.headline),
                "over_logging": one.over_logging.value,
                "over_logging_low": one.over_logging.low,
                "over_logging_high": one.over_logging.high,
                "p": one.over_logging.p,
                "reliability": one.reliability,
                "policy_ess": one.diagnostics.policy_ess,
                "reasons": list(v.reasons),
                "settled_by": list(v.settled_by),
            }
            for v, one in zip(verdicts, found, strict=True)
        ],
        "reasons": [f"{v.name}: {reason}" for v in verdicts for reason in v.reasons],
        "settled_by": list(dict.fromkeys(cure for v in verdicts for cure in v.settled_by)),
    }


def _value(one: Estimated) -> dict[str, float]:
    return {"value": one.interval.value, "low": one.interval.low, "high": one.interval.high}


def _doubts(found: TargetEstimate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    reasons, cures = [], []
    diagnostics, missed = found.diagnostics, found.deficiency
    worth = diagnostics.ess if diagnostics.policy_ess is None else diagnostics.policy_ess
    if missed.mean > UNSUPPORTED and missed.known:
        reasons.append(f"{share(missed.mean)} of its decisions were never possible in the log")
        cures.append("logs that take these actions now and then")
    elif found.reliability == "red":
        kind = "sample" if diagnostics.policy_ess is None else "policy"
        reasons.append(f"the log is worth {number(worth, 2)} rounds of its own ({kind} ESS), fewer than one")
        cures.append("logs that explore more of what it would do")
    difference = found.over_logging
    if not reasons and difference.low <= 0 <= difference.high:
        reasons.append("the interval of the difference holds zero")
        cures.append(_more_rounds(found))
    return tuple(reasons), tuple(cures)


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
            f"The logs cannot tell whether {found.name} is better or worse than the logging policy: "
            f"{'; '.join(reasons)}. It is estimated at {estimate} a round{shown}; the logging policy earned {earned}."
        )
    difference = signed(found.over_logging.value, found.over_logging.low, found.over_logging.high)
    text = f"{found.name} would have earned {estimate} a round, where the logging policy earned {earned}: {status} by "
    if found.deficiency.mean > UNSUPPORTED and found.bounds is not None:
        low, high = found.bounds.widened()
        ends = with_interval((low + high) / 2, low, high).partition(" ")[2]
        return (
            f"{share(found.deficiency.mean)} of {found.name}'s decisions were never possible in the log; whatever they "
            f"earn, it would have earned within {ends} a round, where the logging policy earned {earned}: {status}."
        )
    flag = " Few rounds carry this: smoothing may have biased it." if found.reliability == "orange" else ""
    return f"{text}{difference}.{flag}"
