"""The tables every report carries, whatever the kind, read from the comparison."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from worker.evidence.comparison import Comparison
from worker.evidence.measurements import DistilCost, Measurements, TrainedResult, TrainingSet
from worker.evidence.statistics import Estimate
from worker.evidence.table import Cell, Column, Table

NEVER = "never"


def all_tables(c: Comparison, distilling: DistilCost) -> tuple[Table, ...]:
    """Every table that has rows: fidelity first, then sizes, cost, the matrix, all metrics, the kind's own, curves."""
    m = c.measurements
    built = [fidelity(c), sizes(m), cost(m, distilling), cross_learner(c), metrics(c), *m.tables, privacy(m), tuning(m)]
    return tuple(table for table in built if table.rows)


def fidelity(c: Comparison) -> Table:
    """Learners x sets in the primary metric: mean, share of the full data, the summary's lead; all with intervals."""
    m = c.measurements
    rows: list[dict[str, Cell]] = []
    highlight: list[int] = []
    for learner, one, results in _pairs(m):
        mean = c.mean(learner, one.name)
        if mean is None:
            continue
        if one.role == "summary":
            highlight.append(len(rows))
        is_rival = one.role in ("baseline", "form")
        rows.append(
            {"learner": m.learner(learner).label, "set": one.label, "role": one.role}
            | _spread("metric", mean, m.metric.scale)
            | _spread("kept", c.fidelity(learner, one.name), 100)
            | _spread("lead", c.advantage(learner, one.name) if is_rival else None, m.metric.scale)
            | {"n": mean.n, "seeds": mean.seeds, "chosen": _chosen(results)}
        )
    return Table(
        "fidelity",
        f"{m.metric.label} on held-out data of each learner, by what it was trained on",
        (
            Column("learner", "Learner", "text"),
            Column("set", "Trained on", "text"),
            Column("role", "Role", "text", shown=False),
            *_with_interval("metric", m.metric.label, m.metric.unit),
            *_with_interval("kept", "Of full data", "%"),
            *_with_interval("lead", "Summary ahead by", m.metric.unit),
            Column("n", "n", unit=f"test {m.test_units}", decimals=0),
            Column("seeds", "Seeds", unit="runs", decimals=0),
            Column("chosen", "Chosen on validation", "text"),
        ),
        tuple(rows),
        note=f"In brackets: 95 % intervals, {m.bootstrap} paired bootstrap resamples of test {m.test_units} and seeds.",
        group="learner",
        highlight=tuple(highlight),
        heading="What it keeps",
    )


def metrics(c: Comparison) -> Table:
    """Learners x sets in every metric, with the share of the full data."""
    m = c.measurements
    rows: list[dict[str, Cell]] = []
    for metric in m.metrics:
        for learner, one, results in _pairs(m):
            mean, kept = c.mean(learner, one.name, metric.name), c.fidelity(learner, one.name, metric.name)
            if mean is None:
                pooled = [r.pooled[metric.name] for r in results if metric.name in r.pooled]
                if not pooled:
                    continue
                mean = Estimate(float(np.mean(pooled)), math.nan, math.nan, m.n_test, len(pooled))
                kept = None
            rows.append(
                {"metric": metric.label, "learner": m.learner(learner).label, "set": one.label}
                | _spread("value", mean, metric.scale)
                | {"unit": metric.unit}
                | _spread("kept", kept, 100)
                | {"n": mean.n, "seeds": mean.seeds}
            )
    return Table(
        "metrics",
        "Every metric, learner and training set",
        (
            Column("metric", "Metric", "text"),
            Column("learner", "Learner", "text"),
            Column("set", "Trained on", "text"),
            *_with_interval("value", "Value", ""),
            Column("unit", "Unit", "text"),
            *_with_interval("kept", "Of full data", "%"),
            Column("n", "n", unit=f"test {m.test_units}", decimals=0),
            Column("seeds", "Seeds", unit="runs", decimals=0),
        ),
        tuple(rows),
        folded=True,
        note="A metric pooled over all test data has no value per unit, so it stands without an interval.",
        group="metric",
        heading="Every metric",
    )


def sizes(m: Measurements) -> Table:
    """Rows, events and bytes of every set, absolute and as a share of the full data."""
    full = m.full

    def part(value: float, whole: float) -> float:
        return 100 * value / whole if whole else math.nan

    rows = tuple(
        {
            "set": one.label,
            "role": one.role,
            "rows": one.rows,
            "rows_share": part(one.rows, full.rows),
            "events": one.events,
            "bytes": one.bytes,
            "bytes_share": part(one.bytes, full.bytes),
            "encoding": one.encoding,
        }
        for one in m.sets
    )
    return Table(
        "sizes",
        "How large each training set is",
        (
            Column("set", "Training set", "text"),
            Column("role", "Role", "text", shown=False),
            Column("rows", "Rows", unit=m.units, decimals=0),
            Column("rows_share", "Of all rows", unit="%", decimals=2),
            Column("events", "Events", unit=m.event, decimals=0),
            Column("bytes", "Bytes", unit="B", decimals=0),
            Column("bytes_share", "Of all bytes", unit="%", decimals=2),
            Column("encoding", "Counted as", "text"),
        ),
        rows,
        highlight=tuple(i for i, one in enumerate(m.sets) if one.role == "summary"),
        heading="How large it is",
    )


def cost(m: Measurements, distilling: DistilCost) -> Table:
    """Per learner: one training on full and on the summary, the search, memory, and when distilling has paid."""
    rows = []
    for learner in m.learners:
        full, small = m.of(learner.name, m.full.name), m.of(learner.name, m.summary.name)
        if not full or not small:
            continue
        fit_full, fit_small = _mean(r.fit_s for r in full), _mean(r.fit_s for r in small)
        after = break_even(distilling.seconds, fit_full, fit_small)
        rows.append(
            {
                "learner": learner.label,
                "fit_full": fit_full,
                "fit_summary": fit_small,
                "tune_full": _mean(r.tune_s for r in full),
                "tune_summary": _mean(r.tune_s for r in small),
                "mb_full": _most(r.peak_mb for r in full),
                "mb_summary": _most(r.peak_mb for r in small),
                "break_even": after if isinstance(after, int) else None,
                "pays": break_even_words(after),
                "n": len(full) + len(small),
            }
        )
    return Table(
        "cost",
        "What training costs on the full data and on the summary",
        (
            Column("learner", "Learner", "text"),
            Column("fit_full", "One training, full", unit="s"),
            Column("fit_summary", "One training, summary", unit="s"),
            Column("tune_full", "Whole search, full", unit="s"),
            Column("tune_summary", "Whole search, summary", unit="s"),
            Column("mb_full", "Memory, full", unit="MB", decimals=0),
            Column("mb_summary", "Memory, summary", unit="MB", decimals=0),
            Column("pays", "Distilling has paid", "text"),
            Column("break_even", "Break-even", unit="trainings", decimals=0, shown=False),
            Column("n", "n", unit="runs", decimals=0),
        ),
        tuple(rows),
        note="Wall-clock time of this run; memory is what training took beyond what was in use before.",
        heading="What it costs",
    )


def break_even(distil_s: float | None, full_s: float, summary_s: float) -> int | str | None:
    """Number of trainings after which distilling has paid for itself.

    Smallest whole k with distil_s + k summary_s <= k full_s; "never" when training on the summary is not
    faster; None when the cost of distilling is unknown.
    """
    if distil_s is None:
        return None
    if summary_s >= full_s:
        return NEVER
    # The tolerance keeps a quotient that is whole but for rounding from counting one training too many.
    return max(1, math.ceil(distil_s / (full_s - summary_s) - 1e-9))


def break_even_words(after: int | str | None) -> str:
    """Break-even as a reader says it."""
    if after is None:
        return "unknown"
    if after == NEVER:
        return NEVER
    return "after 1 training" if after == 1 else f"after {after:,} trainings".replace(",", "\u202f")


def cross_learner(c: Comparison) -> Table:
    """Sets x learners, per cent of the full data: how a summary made for one learner serves the others."""
    m = c.measurements
    learners = [learner for learner in m.learners if m.of(learner.name, m.full.name)]
    columns = [Column("set", "Trained on", "text")]
    for learner in learners:
        star = " (made for it)" if learner.name == m.optimised_for else ""
        columns += _with_interval(learner.name, f"{learner.label}{star}", "%")
    rows = []
    for one in m.sets:
        row: dict[str, Cell] = {"set": one.label}
        for learner in learners:
            row |= _spread(learner.name, c.fidelity(learner.name, one.name), 100)
        if one.role != "full" and any(row[learner.name] is not None for learner in learners):
            rows.append(row)
    columns.append(Column("n", "n", unit=f"test {m.test_units}", decimals=0))
    rows = [row | {"n": m.n_test} for row in rows]
    made_for = m.learner(m.optimised_for).label if m.optimised_for in {x.name for x in m.learners} else ""
    return Table(
        "cross_learner",
        f"Share of full-data {m.metric.label} kept, by learner",
        tuple(columns),
        tuple(rows),
        note=f"The summary was optimised for {made_for}; the other columns show how it carries over."
        if made_for
        else "",
        highlight=tuple(i for i, row in enumerate(rows) if row["set"] == m.summary.label),
        heading="How it carries over",
    )


def privacy(m: Measurements) -> Table:
    """How near the summary's records lie to real training records."""
    return Table(
        "privacy",
        "Nearest real records",
        (
            Column("measure", "Measure", "text"),
            Column("value", "Value", decimals=3),
            Column("unit", "Unit", "text"),
            Column("n", "n", unit="records", decimals=0),
            Column("note", "Note", "text"),
        ),
        tuple({"measure": p.label, "value": p.value, "unit": p.unit, "n": p.n, "note": p.note} for p in m.privacy),
        heading="How near it comes to real records",
    )


def tuning(m: Measurements) -> Table:
    """Every point of every hyper-parameter search; the chosen one is marked."""
    rows = []
    for learner, one, results in _pairs(m):
        for result in results:
            if result.curve is None:
                continue
            chosen = result.chosen.get(result.curve.parameter)
            rows += [
                {
                    "learner": m.learner(learner).label,
                    "set": one.label,
                    "seed": result.seed,
                    "parameter": result.curve.parameter,
                    "value": value,
                    "metric": m.metric.scale * score,
                    "chosen": "yes" if value == chosen else "",
                }
                for value, score in result.curve.points
            ]
    return Table(
        "tuning",
        "Hyper-parameter searches on validation data",
        (
            Column("learner", "Learner", "text"),
            Column("set", "Trained on", "text"),
            Column("seed", "Seed", decimals=0),
            Column("parameter", "Parameter", "text"),
            Column("value", "Value", decimals=4),
            Column("metric", f"Validation {m.metric.label}", unit=m.metric.unit),
            Column("chosen", "Chosen", "text"),
        ),
        tuple(rows),
        folded=True,
        group="learner",
        heading="How hyper-parameters were chosen",
    )


def _pairs(m: Measurements) -> Iterator[tuple[str, TrainingSet, tuple[TrainedResult, ...]]]:
    for learner in m.learners:
        for one in m.sets:
            results = m.of(learner.name, one.name)
            if results:
                yield learner.name, one, results


def _with_interval(key: str, label: str, unit: str) -> tuple[Column, ...]:
    ends = (f"{key}_low", f"{key}_high")
    return (
        Column(key, label, unit=unit, interval=ends),
        Column(ends[0], f"{label}, low", unit=unit),
        Column(ends[1], f"{label}, high", unit=unit),
    )


def _spread(key: str, estimate: Estimate | None, scale: float) -> dict[str, Cell]:
    if estimate is None:
        return {key: None, f"{key}_low": None, f"{key}_high": None}
    return {key: scale * estimate.value, f"{key}_low": scale * estimate.low, f"{key}_high": scale * estimate.high}


def _chosen(results: tuple[TrainedResult, ...]) -> str:
    said = [", ".join(f"{name} {_short(value)}" for name, value in r.chosen.items()) for r in results]
    return "; ".join(dict.fromkeys(text for text in said if text))


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _mean(values: Iterator[float]) -> float:
    return float(np.mean(list(values)))


def _most(values: Iterator[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)
