"""The tables of an estimate: estimators with intervals, support, weights, comparisons, the smoothing path."""

from __future__ import annotations

import math

from worker.evidence.table import Cell, Column, Table
from worker.evidence.verdict import WORDS, Verdict
from worker.evidence.wording import decimals_of, decimals_of_column
from worker.kinds.bandit.estimation import monitoring, team_tables
from worker.kinds.bandit.estimation.estimate import Estimated, TargetEstimate
from worker.kinds.bandit.estimation.prepare import Prepared
from worker.kinds.bandit.gain.gain import Gain, gain_of
from worker.kinds.bandit.gain.series import Series, between, total_variation
from worker.kinds.bandit.intervals import holm

Row = dict[str, Cell]


def all_tables(
    prepared: Prepared, found: list[TargetEstimate], judged: Verdict, logging: Estimated, alpha: float
) -> tuple[Table, ...]:
    """Every table that has rows; `judged`: the verdict on all targets."""
    built = (
        decisions(found, judged),
        monitoring.looks(found, alpha),
        team_tables.guardrails(found, alpha),
        team_tables.segments(found, alpha),
        estimates(found, logging),
        positions(found),
        comparisons(prepared, found, alpha),
        support(found),
        team_tables.remedies(found),
        weights(found),
        path(found),
    )
    return tuple(table for table in built if table.rows)


def decisions(found: list[TargetEstimate], judged: Verdict) -> Table:
    """What is decided on every target, by how much, and what the decision stands on or lacks."""
    rows: list[Row] = []
    for one, said in zip(found, judged.details["targets"], strict=True):
        gain = one.over_logging
        known = not gain.open and math.isfinite(gain.high - gain.low)
        rows.append(
            {
                "target": one.name,
                "decision": WORDS[said["status"]][1],
                "gain": gain.value if known else None,
                "low": gain.low if known else None,
                "high": gain.high if known else None,
                "p": said["p_within_margin"] if said["status"] == "not_worse" else said["p"],
                "turns": said["turns_at"],
                "sign": said["sign_turns_at"],
                "reliability": one.reliability,
                "why": "; ".join(said["reasons"]),
            }
        )
    widths = [(one.over_logging.high - one.over_logging.low) / 2 for one in found]
    decimals = decimals_of_column(widths)
    unit = "reward a round"
    return Table(
        "decisions",
        "What the log decides about every target policy",
        (
            Column("target", "Target policy", "text"),
            Column("decision", "Decision", "text"),
            Column("gain", "Over the log", unit=unit, decimals=decimals, interval=("low", "high")),
            Column("low", "Low", unit=unit, decimals=decimals),
            Column("high", "High", unit=unit, decimals=decimals),
            Column("p", "p, Holm", decimals=4),
            Column("turns", "Turns at propensities off by", unit="times", decimals=3),
            Column("sign", "Sign of the gain turns at", unit="times", decimals=3),
            Column("reliability", "Reliability", "text"),
            Column("why", "Why not", "text"),
        ),
        tuple(rows),
        note="Green: intervals hold; yellow: wider ones do; orange: few rounds or only bounds; red: the log "
        "cannot tell. The gain is never smoothed; what the log cannot speak of counts between the least and the "
        "largest reward.",
        heading="Decisions",
    )


def estimates(found: list[TargetEstimate], logging: Estimated) -> Table:
    """Value of every target by every estimator, the selected one first, the logging policy's own value last."""
    rows: list[Row] = []
    stressed: list[int] = []
    earned = logging.estimate.value
    for target in found:
        stressed.append(len(rows))
        for one in (target.headline, *target.rows):
            rows.append({"target": target.name, **_row(one, earned), "reliability": target.reliability})
        if target.truth is not None:
            rows.append({"target": target.name, "estimator": "Truth (simulated log)", "value": target.truth})
    rows.append({"target": "Logging policy", **_row(logging, earned), "estimator": "Mean reward"})
    widths = [one.headline.interval.half_width for one in found]
    decimals = decimals_of(min(widths), earned) if widths else 3
    unit = "reward a round"
    return Table(
        "estimates",
        "What every target policy would have earned, by estimator",
        (
            Column("target", "Target policy", "text"),
            Column("estimator", "Estimator", "text"),
            Column("value", "Value", unit=unit, decimals=decimals, interval=("low", "high")),
            Column("low", "Low", unit=unit, decimals=decimals),
            Column("high", "High", unit=unit, decimals=decimals),
            Column("relative", "Of the logging policy's", unit="%", decimals=0),
            Column("tau", "Smoothing", "text"),
            Column("setting", "Setting", "text"),
            Column("pess", "Policy ESS", unit="rounds", decimals=1),
            Column("ess", "Sample ESS", unit="rounds", decimals=1),
            Column("interval", "Interval", "text"),
            Column("reliability", "Reliability", "text"),
        ),
        tuple(rows),
        note="On smoothed, clipped or grouped weights, and on a reward model alone, an interval is about the "
        "estimator's own mean: it leaves out the bias these bring.",
        heading="Estimates",
        group="target",
        highlight=tuple(stressed),
    )


def positions(found: list[TargetEstimate]) -> Table:
    """Value of every target at every position, measured on the rounds of that position alone."""
    rows: list[Row] = []
    for one in found:
        for place in one.positions:
            row: Row = {"target": one.name, "position": place.position, "n": place.rounds, "logged": place.logged}
            if place.interval is not None:
                span = place.interval
                row |= {"value": span.value, "low": span.low, "high": span.high, "worth": place.worth}
            rows.append(row)
    unit = "reward a round"
    spans = [place.interval.half_width for one in found for place in one.positions if place.interval is not None]
    decimals = decimals_of(min(spans)) if spans else 3
    return Table(
        "positions",
        "What every target policy would have earned at each position",
        (
            Column("target", "Target policy", "text"),
            Column("position", "Position", decimals=0),
            Column("n", "n", unit="rounds", decimals=0),
            Column("value", "Value", unit=unit, decimals=decimals, interval=("low", "high")),
            Column("low", "Low", unit=unit, decimals=decimals),
            Column("high", "High", unit=unit, decimals=decimals),
            Column("logged", "As logged", unit=unit, decimals=decimals),
            Column("worth", "Effective sample size", unit="rounds", decimals=1),
        ),
        tuple(rows),
        note="Self-normalised IPS on the rounds of one position, smoothed as for all rounds; the verdict pools all "
        "positions. Below an effective sample size of 1 no interval is known to hold; positions of fewer than 30 "
        "rounds have no value.",
        heading="Positions",
        group="target",
        folded=True,
    )


def comparisons(prepared: Prepared, found: list[TargetEstimate], alpha: float) -> Table:
    """Paired differences of every two policies, the logging policy among them; p values after Holm.

    A policy whose light is red has differences without p values, and takes no part in Holm's correction.
    """
    pairs: list[tuple[str, str, Gain, bool]] = []
    for place, one in enumerate(found):
        for other in found[place + 1 :]:
            both = _between(one, other, prepared)
            gain = gain_of(prepared.log, both, prepared.reward_range, alpha, prepared.unit, sensitive=False)
            pairs.append((one.name, other.name, gain, "red" not in (one.reliability, other.reliability)))
        pairs.append((one.name, "Logging policy", one.over_logging, one.reliability != "red"))
    adjusted = iter(holm([gain.p for _, _, gain, tested in pairs if tested]).tolist())
    rows: list[Row] = [
        {"first": a, "second": b, "value": d.value, "low": d.low, "high": d.high}
        | ({"p": d.p, "holm": next(adjusted)} if tested else {})
        for a, b, d, tested in pairs
        if not d.open
    ]
    spans = [(d.high - d.low) / 2 for _, _, d, _ in pairs if math.isfinite(d.high - d.low)]
    decimals = decimals_of(min(spans)) if spans else 3
    return Table(
        "comparisons",
        "Paired differences on the same rounds",
        (
            Column("first", "Policy", "text"),
            Column("second", "Against", "text"),
            Column("value", "Difference", unit="reward a round", decimals=decimals, interval=("low", "high")),
            Column("low", "Low", unit="reward a round", decimals=decimals),
            Column("high", "High", unit="reward a round", decimals=decimals),
            Column("p", "p", decimals=4),
            Column("holm", "p, Holm", decimals=4),
        ),
        tuple(rows),
        note="Never smoothed; what the log cannot speak of counts between the least and the largest reward, so the "
        "difference of two values above may be another. A policy whose light is red has no p values.",
        heading="Policies against each other",
    )


def _between(one: TargetEstimate, other: TargetEstimate, prepared: Prepared) -> Series:
    apart, first, second = None, one.series, other.series
    partial = first.lost is not None and second.lost is not None and first.lost.any() and second.lost.any()
    if partial and first.cap == second.cap:
        apart = total_variation(one.policy, other.policy)
    return between(first, second, apart, prepared.reward_range)


def support(found: list[TargetEstimate]) -> Table:
    """How much of every target the log cannot see, and the bounds that hold whatever is there."""
    rows: list[Row] = []
    for one in found:
        missed, limits = one.deficiency, one.bounds
        low, high = (limits.low, limits.high) if limits is not None else (None, None)
        rows.append(
            {
                "target": one.name,
                "mass": 100 * (missed.mean if missed.known else one.diagnostics.missing_mass),
                "known": "from the logging policy"
                if missed.known
                else "from weights and actions never logged, at least",
                "never": missed.never_logged,
                "never_mass": 100 * missed.never_logged_mass,
                "low": low,
                "high": high,
            }
        )
    return Table(
        "support",
        "Decisions that the logging policy could not have taken",
        (
            Column("target", "Target policy", "text"),
            Column("mass", "Unsupported", unit="% of decisions", decimals=2),
            Column("known", "How known", "text"),
            Column("never", "Actions never logged", unit="actions", decimals=0),
            Column("never_mass", "Target's mass on them", unit="%", decimals=2),
            Column("low", "At least", unit="reward a round", decimals=4),
            Column("high", "At most", unit="reward a round", decimals=4),
        ),
        tuple(rows),
        note="The bounds need no assumption about unseen rewards but their range; intervals are included.",
        heading="Support",
    )


def weights(found: list[TargetEstimate]) -> Table:
    """Diagnostics of the unsmoothed weights."""
    rows: list[Row] = []
    for one in found:
        d = one.diagnostics
        rows.append(
            {
                "target": one.name,
                "n": d.n,
                "mean": d.mean_weight,
                "mean_low": d.mean_weight_low,
                "mean_high": d.mean_weight_high,
                "pess": d.policy_ess,
                "ess": d.ess,
                "share": 100 * d.ess_share,
                "max": d.max_weight,
                **{f"q{q}": value for q, value in d.quantiles.items()},
                "top": 100 * d.top_share,
                "tail": d.tail_index,
                "zero": 100 * d.zero_share,
                "inverse": d.logging.robust,
            }
        )
    return Table(
        "weights",
        "Importance weights before any smoothing",
        (
            Column("target", "Target policy", "text"),
            Column("n", "n", unit="rounds", decimals=0),
            Column("mean", "Mean (1 expected)", decimals=3, interval=("mean_low", "mean_high")),
            Column("mean_low", "Low", decimals=3),
            Column("mean_high", "High", decimals=3),
            Column("pess", "Policy ESS", unit="rounds", decimals=1),
            Column("ess", "Sample ESS", unit="rounds", decimals=1),
            Column("share", "Sample ESS", unit="% of n", decimals=1),
            Column("max", "Largest", decimals=1),
            Column("q0.5", "Median", decimals=3),
            Column("q0.9", "90 %", decimals=2),
            Column("q0.99", "99 %", decimals=1),
            Column("q0.999", "99.9 %", decimals=1),
            Column("top", "Sum from largest 1 %", unit="%", decimals=0),
            Column("tail", "Tail index", decimals=2),
            Column("zero", "Weight 0", unit="% of rounds", decimals=1),
            Column("inverse", "Mean of 1/propensity", unit="actions", decimals=1),
        ),
        tuple(rows),
        note="Mean of 1/propensity estimates how many actions the logging policy chooses from (capped at the 99.9 % "
        "quantile). A tail index below 2 means infinite variance.",
        heading="Weights",
    )


def path(found: list[TargetEstimate]) -> Table:
    """Every candidate amount of smoothing with what it costs and brings."""
    rows: list[Row] = []
    for one in found:
        if one.selected is None:
            continue
        record = one.selected.path
        for t, tau in enumerate(record.taus):
            rows.append(
                {
                    "target": one.name,
                    "tau": "none" if t == 0 else f"{tau:.4g}",
                    "pess": float(record.pess[t]),
                    "snips": float(record.theta["pc_snips"][t]),
                    "width": float(record.width[t]),
                    "sndr": float(record.theta["pc_sndr"][t]),
                    "bias": None if record.bias is None else float(record.bias[t]),
                    "chosen": ", ".join(name for name, level in one.selected.levels.items() if level == t),
                }
            )
    return Table(
        "path",
        "The smoothing path",
        (
            Column("target", "Target policy", "text"),
            Column("tau", "Smoothing", "text"),
            Column("pess", "Policy ESS", unit="rounds", decimals=1),
            Column("snips", "PC-SNIPS", unit="reward a round", decimals=4),
            Column("width", "Noise at least", unit="reward a round", decimals=4),
            Column("sndr", "PC-SNDR", unit="reward a round", decimals=4),
            Column("bias", "Bias the model expects", unit="reward a round", decimals=4),
            Column("chosen", "Chosen", "text"),
        ),
        tuple(rows),
        note="PC-SNDR and the expected bias use the reward model of largest evidence, not the one chosen for DR.",
        heading="Smoothing path",
        group="target",
        folded=True,
    )


def _row(one: Estimated, earned: float) -> Row:
    return {
        "estimator": one.label,
        "value": None if one.interval.method == "bounds" else one.interval.value,
        "low": one.interval.low,
        "high": one.interval.high,
        "relative": 100 * one.interval.value / earned if earned > 0 and one.interval.method != "bounds" else None,
        "tau": "" if one.taus is None else _taus(one.taus),
        "setting": "" if one.setting is None else _setting(*one.setting),
        "pess": one.pess,
        "ess": one.ess,
        "interval": one.interval.method,
    }


def _setting(name: str, value: float | str) -> str:
    return f"{name} {value}" if isinstance(value, str) else f"{name} {value:g}"


def _taus(taus: tuple[float, float]) -> str:
    target, logging = (f"{tau:.4g}" for tau in taus)
    return target if target == logging else f"{target} / {logging}"
