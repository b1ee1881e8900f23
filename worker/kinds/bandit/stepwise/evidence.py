"""From estimates over units of steps to findings: verdict, tables, plots and the file that carries every number."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.looks import OWN
from worker.evidence.plot import Plot, Series
from worker.evidence.report import plain
from worker.evidence.table import Cell, Column, Table
from worker.evidence.verdict import WORDS, Verdict
from worker.evidence.wording import capital, decimals_of_column, number
from worker.kinds.bandit.estimation.wording import with_interval
from worker.kinds.bandit.stepwise.target import Row, Setting, TargetResult
from worker.kinds.bandit.stepwise.verdict import Words, bounded, of_targets

FOOTNOTE = "Estimated from logs, not from an experiment. Square brackets are intervals at the level the job asked for."


def findings(
    found: list[TargetResult],
    logged: Row,
    setting: Setting,
    words: Words,
    units: int,
    *,
    because: str,
    protocol: str,
    warnings: list[str],
    tables: tuple[Table, ...] = (),
    plots: tuple[Plot, ...] = (),
) -> Findings:
    """What the report lays out; `tables` and `plots`: those of the method alone."""
    judged, headline = of_targets(found, logged, words, setting.alpha)
    said = warnings + [
        f"{one.name}: {label} was left out: {why}." for one in found for label, why in one.left_out.items()
    ]
    every = (decisions(found, judged, words), estimates(found, logged, words), *tables, weights(found, words))
    drawn = (agreement(found, logged, words, units), *plots, worth(found, words, units))
    return Findings(
        kind="bandit",
        unit=words.unit,
        units=words.units,
        test_units=words.units,
        n_test=units,
        verdict=judged,
        headline=headline,
        because=because,
        key_figures=_key_figures(found, logged, words, units),
        tables=tuple(table for table in every if table.rows),
        plots=tuple(plot for plot in drawn if plot.series),
        warnings=tuple(dict.fromkeys(said)),
        protocol=protocol,
        lead="agreement",
        families={one.headline.label: OWN for one in found} | {one.name: f"policy {one.name}" for one in found},
        metric={
            "name": "value",
            "label": f"reward a {words.unit}",
            "unit": "reward",
            "scale": 1.0,
            "higher_is_better": True,
        },
        footnote=FOOTNOTE,
        files={"estimates.json": _json(_numbers(found, logged, setting, units))},
    )


def _key_figures(found: list[TargetResult], logged: Row, words: Words, units: int) -> tuple[KeyFigure, ...]:
    figures: list[KeyFigure] = []
    for one in found[:3]:
        ends = bounded(one, logged)
        row = one.headline
        text = with_interval(row.value, row.low, row.high) if ends is None else with_interval(math.nan, *ends)
        value, _, span = text.partition(" ")
        figures.append(KeyFigure(f"a {words.unit} with {one.name}", span if ends else value, "" if ends else span))
    value, _, span = with_interval(logged.value, logged.low, logged.high).partition(" ")
    figures.append(KeyFigure(f"a {words.unit} as logged", value, span))
    least = min(one.worth for one in found)
    figures.append(KeyFigure("effective sample size", number(least, 1), f"of {number(units)} {words.units}"))
    return tuple(figures)


def decisions(found: list[TargetResult], judged: Verdict, words: Words) -> Table:
    """What is decided on every target, by how much, and what the decision stands on or lacks."""
    rows: list[dict[str, Cell]] = []
    for one, said in zip(found, judged.details["targets"], strict=True):
        rows.append(
            {
                "target": one.name,
                "decision": WORDS[said["status"]][1],
                "gain": said["over_logging"],
                "low": said["over_logging_low"],
                "high": said["over_logging_high"],
                "p": said["p"],
                "turns": said["turns_at"],
                "reliability": one.reliability,
                "why": "; ".join(said["reasons"]),
            }
        )
    widths = [(one.gain.high - one.gain.low) / 2 for one in found]
    decimals = decimals_of_column(widths)
    unit = f"reward a {words.unit}"
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
            Column("turns", "Turns at probabilities off by", unit="times", decimals=3),
            Column("reliability", "Reliability", "text"),
            Column("why", "Why not", "text"),
        ),
        tuple(rows),
        note="The gain is paired with what was logged and self-normalised nowhere; what the log cannot speak of counts "
        "between the least and the largest reward. Yellow: intervals hold for right propensities; orange: few "
        f"{words.units} or only bounds; red: the propensities disagree with the log.",
        heading="Decisions",
    )


def estimates(found: list[TargetResult], logged: Row, words: Words) -> Table:
    """Value of every target by every estimator, the headline first, the logging policy's own value last."""
    rows: list[dict[str, Cell]] = []
    stressed: list[int] = []
    for one in found:
        stressed.append(len(rows))
        rows += [{"target": one.name, **_cells(row)} for row in one.rows]
    rows.append({"target": "Logging policy", **_cells(logged)})
    widths = [(row["high"] - row["low"]) / 2 for row in rows]
    decimals = decimals_of_column(widths)
    unit = f"reward a {words.unit}"
    return Table(
        "estimates",
        "What every target policy would have earned, by estimator",
        (
            Column("target", "Target policy", "text"),
            Column("estimator", "Estimator", "text"),
            Column("value", "Value", unit=unit, decimals=decimals, interval=("low", "high")),
            Column("low", "Low", unit=unit, decimals=decimals),
            Column("high", "High", unit=unit, decimals=decimals),
            Column("ess", "Effective sample size", unit=words.units, decimals=1),
            Column("note", "Right if", "text"),
        ),
        tuple(rows),
        note="The column at the right says under which assumption beside right propensities an estimator means the "
        "target's value.",
        heading="Estimates",
        group="target",
        highlight=tuple(stressed),
    )


def _cells(row: Row) -> dict[str, Cell]:
    cells: dict[str, Cell] = {"estimator": row.label, "value": row.value, "low": row.low, "high": row.high}
    return cells | {"ess": row.ess, "note": row.note}


def weights(found: list[TargetResult], words: Words) -> Table:
    """The weights of every target, step by step where there are steps."""
    rows: list[dict[str, Cell]] = [
        {
            "target": one.name,
            "step": step + 1 if len(one.weights.mean) > 1 else None,
            "mean": float(one.weights.mean[step]),
            "off": float(one.weights.off[step]),
            "ess": float(one.weights.worth[step]),
            "largest": float(one.weights.largest[step]),
        }
        for one in found
        for step in range(len(one.weights.mean))
    ]
    return Table(
        "weights",
        "Importance weights",
        (
            Column("target", "Target policy", "text"),
            Column("step", f"Up to {words.step}" if words.step else "Step", decimals=0, shown=bool(words.step)),
            Column("mean", "Mean weight", decimals=3),
            Column("off", "From 1", unit="standard errors", decimals=1),
            Column("ess", "Effective sample size", unit=words.units, decimals=1),
            Column("largest", "Largest", decimals=1),
        ),
        tuple(rows),
        note="Under right propensities the mean weight is 1 where all that the target does was possible, and falls "
        "short of it by what was not.",
        heading="Weights",
        group="target",
        folded=len(rows) > 20,
    )


def agreement(found: list[TargetResult], logged: Row, words: Words, n: int) -> Plot:
    """Every estimator's value and interval; where they disagree, the log says little or an assumption fails."""
    said = "; ".join(f"{one.name}: {one.headline.value:.4g}" for one in found)
    return Plot(
        "agreement",
        "What each estimator says",
        f"Reward a {words.unit} with intervals, by estimator; the line marks what the logging policy earned. {said}.",
        "interval",
        f"reward a {words.unit}",
        "",
        tuple(
            Series(
                one.name,
                tuple(row.label for row in one.rows),
                tuple(row.value for row in one.rows),
                tuple(row.low for row in one.rows),
                tuple(row.high for row in one.rows),
                (one.headline.label,),
            )
            for one in found
        ),
        mark_x=logged.value,
        mark_label="logging policy",
        n=n,
    )


def worth(found: list[TargetResult], words: Words, n: int) -> Plot:
    """How the log's worth falls from step to step."""
    series = tuple(
        Series(one.name, tuple(float(s + 1) for s in range(len(one.weights.worth))), tuple(one.weights.worth.tolist()))
        for one in found
        if len(one.weights.worth) > 1
    )
    return Plot(
        "ess",
        f"{capital(words.units)} that the log is worth, by {words.step or 'step'}",
        f"Effective sample size of the weights of all up to a {words.step or 'step'}: it falls as policies part.",
        "line",
        words.step or "step",
        words.units,
        series,
        log_y=True,
        n=n,
    )


def _numbers(found: list[TargetResult], logged: Row, setting: Setting, units: int) -> dict[str, Any]:
    return {
        "n": units,
        "alpha": setting.alpha,
        "reward_range": setting.limits,
        "independent": "units" if setting.unit is None else "users",
        "logging": asdict(logged),
        "targets": {
            one.name: {
                "reliability": one.reliability,
                "estimates": [asdict(row) for row in one.rows],
                "over_logging": {k: None if one.doubts and k[:2] == "p_" else v for k, v in asdict(one.gain).items()},
                "trust": one.trust,
                "doubts": list(one.doubts),
                "left_out": dict(one.left_out),
                "weights": {
                    "mean": one.weights.mean.tolist(),
                    "off": one.weights.off.tolist(),
                    "ess": one.weights.worth.tolist(),
                    "largest": one.weights.largest.tolist(),
                    "missing": one.weights.missing,
                },
                **one.details,
            }
            for one in found
        },
    }


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
