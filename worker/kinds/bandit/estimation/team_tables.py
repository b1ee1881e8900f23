"""Tables of what a team asks beside the value: guardrails, uplift by segment, and remedies for what was never tried."""

from __future__ import annotations

import math
from collections.abc import Iterable

from worker.evidence.table import Cell, Column, Table
from worker.evidence.wording import decimals_of_column
from worker.kinds.bandit.estimation.estimate import TargetEstimate
from worker.kinds.bandit.estimation.guardrails import WORDS, statuses
from worker.kinds.bandit.estimation.segments import LEAST_ROUNDS
from worker.kinds.bandit.gain.gain import Gain

Row = dict[str, Cell]
_DECIDED = {"better": "Better", "worse": "Worse", "cannot_tell": "The logs cannot tell", "small": "Too small"}


def guardrails(found: list[TargetEstimate], alpha: float) -> Table:
    """Every guardrail of every target: its gain in its own direction, the accepted loss, and whether it holds."""
    rows: list[Row] = []
    for target, states in zip(found, statuses([one.guardrails for one in found], alpha), strict=True):
        for one, state in zip(target.guardrails, states, strict=True):
            sign = -1.0 if one.lower_is_better else 1.0
            rows.append(
                {
                    "target": target.name,
                    "guardrail": one.name,
                    "status": WORDS[state],
                    "logged": one.logged,
                    **_ends(one.gain, sign),
                    "allowed": None if one.margin is None else -sign * one.margin.width,
                    "turns": {"holds": one.margin.within_to, "broken": one.margin.beyond_to}.get(state)
                    if one.margin is not None
                    else None,
                    "why": "; ".join(one.doubts),
                }
            )
    decimals = _decimals(one.gain for target in found for one in target.guardrails)
    return Table(
        "guardrails",
        "Whether the guardrails hold",
        (
            Column("target", "Target policy", "text"),
            Column("guardrail", "Guardrail", "text"),
            Column("status", "Decision", "text"),
            Column("logged", "As logged", decimals=decimals),
            *_gain_columns("a round", decimals),
            Column("allowed", "Allowed", unit="a round", decimals=decimals),
            Column("turns", "Turns at propensities off by", unit="times", decimals=3),
            Column("why", "Why not", "text"),
        ),
        tuple(rows),
        note="A guardrail holds where its difference to the log is shown to lie on the good side of what is allowed, "
        "and is broken where it is shown to lie on the other. That all hold needs no correction, since each must; "
        "broken ones are Holm's over all guardrails and targets.",
        heading="Guardrails",
        group="target",
    )


def segments(found: list[TargetEstimate], alpha: float) -> Table:
    """The gain of every target in every segment, largest segments first."""
    rows: list[Row] = []
    for target in found:
        for column in target.segments:
            for one in column.segments:
                known = one.gain is not None
                rows.append(
                    {
                        "target": target.name,
                        "column": column.name,
                        "segment": one.word,
                        "n": one.rounds,
                        "logged": one.logged,
                        **(_ends(one.gain) if one.gain is not None else {}),
                        "p": one.p if known else None,
                        "status": _DECIDED[one.status(alpha)],
                        "why": one.why,
                    }
                )
    decimals = _decimals(
        one.gain for t in found for column in t.segments for one in column.segments if one.gain is not None
    )
    unit = "reward a round"
    return Table(
        "segments",
        "The gain over the logging policy by segment",
        (
            Column("target", "Target policy", "text"),
            Column("column", "By", "text"),
            Column("segment", "Segment", "text"),
            Column("n", "n", unit="rounds", decimals=0),
            Column("logged", "As logged", unit=unit, decimals=decimals),
            *_gain_columns(unit, decimals),
            Column("p", "p, Holm", decimals=4),
            Column("status", "Decision", "text"),
            Column("why", "Why not", "text"),
        ),
        tuple(rows),
        note=" ".join(
            [
                f"Segments of fewer than {LEAST_ROUNDS} rounds are not looked at. Intervals are for one segment at a "
                "time; decisions are Holm's over all segments of the target, and where one is decided and another is "
                "not, they need not differ.",
                *said_of_segments(found, alpha),
            ]
        ),
        heading="By segment",
        group="target",
    )


def said_of_segments(found: list[TargetEstimate], alpha: float) -> list[str]:
    """A plain sentence for every target and column."""
    said: list[str] = []
    for target in found:
        for column in target.segments:
            names: dict[str, list[str]] = {state: [] for state in _DECIDED}
            for one in column.segments:
                names[one.status(alpha)].append(one.word)
            parts = [f"{state} in {_some(names[state])}" for state in ("better", "worse") if names[state]]
            if names["cannot_tell"]:
                parts.append(f"of {_some(names['cannot_tell'])} the logs cannot tell")
            if names["small"]:
                parts.append(f"{len(names['small'])} {'is' if len(names['small']) == 1 else 'are'} too small")
            differ = ""
            if column.differ is not None:
                known = f"p {column.differ:.2g}, Cochran's Q"
                differ = (
                    f" They differ ({known})."
                    if column.differ < alpha
                    else f" Nothing says that they differ ({known})."
                )
            said.append(f"{target.name} by {column.name}: {'; '.join(parts)}.{differ}")
    return said


def remedies(found: list[TargetEstimate]) -> Table:
    """What each remedy for decisions that were never possible makes of the value, and what it assumes."""
    rows: list[Row] = []
    for one in found:
        if one.bounds is not None:
            rows.append(
                {
                    "target": one.name,
                    "remedy": "Bounds",
                    "low": one.bounds.low,
                    "high": one.bounds.high,
                    "changed": 100 * one.diagnostics.missing_mass,
                    "assumes": "nothing but the declared range of rewards",
                }
            )
        for row in one.rows:
            if row.name == "unsupported":
                rows.append(
                    {
                        "target": one.name,
                        "remedy": row.label,
                        "value": row.interval.value,
                        "low": row.interval.low,
                        "high": row.interval.high,
                        "changed": 100 * one.deficiency.mean,
                        "assumes": "that the reward filled in is right, which the log cannot show",
                    }
                )
        if one.changed is not None:
            span = one.headline.interval
            rows.append(
                {
                    "target": one.name,
                    "remedy": "Possible actions only",
                    "value": None if span.method == "bounds" else span.value,
                    "low": span.low,
                    "high": span.high,
                    "changed": 100 * one.changed.mass,
                    "rounds": 100 * one.changed.rounds,
                    "handed": 100 * one.changed.handed,
                    "assumes": "nothing, but it is another policy: serve it with the logging policy's actions alone",
                }
            )
    spans = [one.bounds or one.headline.interval for one in found]
    decimals = decimals_of_column(span.half_width for span in spans)
    unit = "reward a round"
    return Table(
        "remedies",
        "Remedies for decisions that were never possible in the log",
        (
            Column("target", "Target policy", "text"),
            Column("remedy", "Remedy", "text"),
            Column("value", "Value", unit=unit, decimals=decimals, interval=("low", "high")),
            Column("low", "Low", unit=unit, decimals=decimals),
            Column("high", "High", unit=unit, decimals=decimals),
            Column("changed", "Touched", unit="% of decisions", decimals=2),
            Column("rounds", "In rounds", unit="%", decimals=2),
            Column("handed", "As logged", unit="% of rounds", decimals=2),
            Column("assumes", "Assumes", "text"),
        ),
        tuple(rows),
        note="Intervals are included. As logged: rounds in which nothing that the target does was possible, so that "
        "the restricted one does as the logging policy.",
        heading="Remedies",
    )


def _gain_columns(unit: str, decimals: int) -> tuple[Column, Column, Column]:
    return (
        Column("gain", "Over the log", unit=unit, decimals=decimals, interval=("low", "high")),
        Column("low", "Low", unit=unit, decimals=decimals),
        Column("high", "High", unit=unit, decimals=decimals),
    )


def _ends(gain: Gain, sign: float = 1.0) -> Row:
    """The gain with its interval, in the direction of its own unit; nothing where nothing is known."""
    if gain.open or not math.isfinite(gain.high - gain.low):
        return {}
    low, high = sorted((sign * gain.low, sign * gain.high))
    return {"gain": sign * gain.value + 0.0, "low": low + 0.0, "high": high + 0.0}  # and not -0


def _decimals(gains: Iterable[Gain]) -> int:
    return decimals_of_column((one.high - one.low) / 2 for one in gains)


def _some(names: list[str], most: int = 5) -> str:
    rest = len(names) - most
    if rest > 0:
        return f"{', '.join(names[:most])} and {rest} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
