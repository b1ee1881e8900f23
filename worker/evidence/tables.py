"""The tables of figures that every report of a summary carries, whatever the kind."""

from __future__ import annotations

import math
from typing import Any

from worker.evidence.columns import counted, counts, spread, trained, with_interval
from worker.evidence.comparison import Comparison
from worker.evidence.measurements import Measurements, TrainedResult
from worker.evidence.summary_verdict import Judged
from worker.evidence.table import Cell, Column, Table
from worker.evidence.verdict import Verdict
from worker.evidence.wording import capital


def fidelity(c: Comparison) -> Table:
    """Learners x sets in the primary metric: mean, share of the full data, the summary's lead; all with intervals."""
    m = c.measurements
    rows: list[dict[str, Cell]] = []
    highlight: list[int] = []
    for learner, one, results in trained(m):
        mean = c.mean(learner, one.name)
        if mean is None:
            continue
        if one.role == "summary":
            highlight.append(len(rows))
        compared = one.role in ("baseline", "form", "bound") or (one.role == "summary" and one != m.summary)
        rows.append(
            {"learner": m.learner(learner).label, "set": one.label, "role": one.role}
            | spread("metric", mean, m.metric.scale)
            | spread("kept", c.share(learner, one.name), 100)
            | spread("lead", c.ahead(learner, m.summary.name, one.name) if compared else None, m.metric.scale)
            | counts(mean)
            | {"chosen": _chosen(results)}
        )
    return Table(
        "fidelity",
        f"{m.metric.label} on held-out data of each learner, by what it was trained on",
        (
            Column("learner", "Learner", "text"),
            Column("set", "Trained on", "text"),
            Column("role", "Role", "text", shown=False),
            *with_interval("metric", m.metric.label, m.metric.unit, m.metric.decimals),
            *with_interval("kept", "Of full data", "%"),
            *with_interval("lead", "Summary ahead by", m.metric.unit, m.metric.decimals),
            *counted(m.test.units),
            Column("chosen", "Chosen on validation", "text"),
        ),
        tuple(rows),
        note=f"In brackets: 95\u202f% intervals, {m.bootstrap} paired bootstrap resamples of test {m.test.units}, of "
        f"draws of a training set and of learner seeds. {_runs(m)}",
        group="learner",
        highlight=tuple(highlight),
        heading="What it keeps",
    )


def _runs(m: Measurements) -> str:
    """The seeds of a distiller are part of the interval only when more than one was run."""
    draws = len({r.draw for r in m.results if r.set == m.summary.name})
    if draws > 1:
        return f"The summary was made {draws} times, and the intervals hold how much that changes."
    return "The summary was made once: how much another seed of its method would change is not in the intervals."


def summaries(c: Comparison, judged: list[tuple[Judged, Verdict]]) -> Table:
    """Every summary with its own verdict, where there are several."""
    m = c.measurements
    rows: list[dict[str, Cell]] = [
        {"summary": known.summary.label, "verdict": verdict.label}
        | {"learner": known.learner.label if known.learner else ""}
        | spread("kept", c.share(known.learner.name, known.summary.name) if known.learner else None, 100)
        | {"rows_share": 100 * known.rows_share, "bytes_share": 100 * known.bytes_share}
        | {"baseline": known.best.set.label if known.best else ""}
        | spread("ahead", _over_best(c, known), 100)
        | {"n": m.test.n}
        for known, verdict in judged
    ]
    return Table(
        "summaries",
        f"Every summary: what it keeps of full-data {m.metric.label}, and the best cheap baseline beside it",
        (
            Column("summary", "Summary", "text"),
            Column("verdict", "Verdict", "text"),
            Column("learner", "Learner", "text"),
            *with_interval("kept", "Of full data", "%"),
            Column("rows_share", f"Of all {m.units}", unit="%", decimals=2),
            Column("bytes_share", "Of all bytes", unit="%", decimals=2),
            Column("baseline", "Best cheap baseline", "text"),
            *with_interval("ahead", "Ahead of it by", "points"),
            Column("n", "n", unit=f"test {m.test.units}", decimals=0),
        ),
        tuple(rows) if len(rows) > 1 else (),
        heading="Every summary",
    )


def _over_best(c: Comparison, known: Judged) -> Any:
    if known.learner is None or known.best is None:
        return None
    return c.ahead_in_share(known.learner.name, known.summary.name, known.best.set.name)


def metrics(c: Comparison) -> Table:
    """Learners x sets in every metric on every test set, with the share of the full data."""
    m = c.measurements
    rows: list[dict[str, Cell]] = []
    for test in m.tests:
        for metric in m.metrics:
            for learner, one, _ in trained(m):
                mean = c.mean(learner, one.name, metric.name, test.name)
                if mean is not None:
                    rows.append(
                        {"test": test.label if len(m.tests) > 1 else "", "metric": metric.label}
                        | {"learner": m.learner(learner).label, "set": one.label}
                        | spread("value", mean, metric.scale)
                        | {"unit": metric.unit}
                        | spread("kept", c.share(learner, one.name, metric.name, test.name), 100)
                        | counts(mean)
                    )
    return Table(
        "metrics",
        "Every metric, learner and training set",
        (
            Column("test", "Tested on", "text"),
            Column("metric", "Metric", "text"),
            Column("learner", "Learner", "text"),
            Column("set", "Trained on", "text"),
            *with_interval("value", "Value", "", max(metric.decimals for metric in m.metrics)),
            Column("unit", "Unit", "text"),
            *with_interval("kept", "Of full data", "%"),
            *counted(m.test.units if len({test.units for test in m.tests}) == 1 else "units"),
        ),
        tuple(rows),
        folded=True,
        note="A metric that is known as one number only stands without an interval.",
        group="metric",
        heading="Every metric",
    )


def sizes(m: Measurements, uploaded_bytes: int | None = None) -> Table:
    """Rows, events and bytes of every set, absolute and as a share of the full data, and compressed."""
    full = m.full
    squeezed = full.compressed is not None
    compressed = " Compressed: the fewest that lossless compression made of them." if squeezed else ""

    def part(value: float, whole: float) -> float:
        return 100 * value / whole if whole else math.nan

    rows: list[dict[str, Cell]] = [
        {
            "set": one.label,
            "role": one.role,
            "rows": one.rows,
            "rows_share": part(one.rows, full.rows),
            "events": one.events,
            "bytes": one.bytes,
            "bytes_share": part(one.bytes, full.bytes),
            "compressed": one.compressed,
            "encoding": one.encoding,
        }
        for one in m.sets
    ]
    if uploaded_bytes is not None:
        rows.append(
            {"set": "as uploaded", "role": "uploaded", "bytes": uploaded_bytes, "encoding": "the uploaded files"}
        )
    return Table(
        "sizes",
        "How large each training set is",
        (
            Column("set", "Training set", "text"),
            Column("role", "Role", "text", shown=False),
            Column("rows", capital(m.units), unit=m.units, decimals=0),
            Column("rows_share", f"Of all {m.units}", unit="%", decimals=2),
            Column("events", capital(m.event), unit=m.event, decimals=0),
            Column("bytes", "Bytes", unit="B", decimals=0),
            Column("bytes_share", "Of all bytes", unit="%", decimals=2),
            Column("compressed", "Compressed", unit="B", decimals=0),
            Column("encoding", "Counted as", "text"),
        ),
        tuple(rows),
        note=f"Bytes are those of the {'arrays' if compressed else 'files'} as delivered; the full data is counted in "
        f"the same encoding.{compressed}",
        highlight=tuple(i for i, one in enumerate(m.sets) if one.role == "summary"),
        heading="How large it is",
    )


def cross_learner(c: Comparison) -> Table:
    """Sets x learners, per cent of the full data, beside the bytes: how a summary made for one serves the others."""
    m = c.measurements
    learners = [learner for learner in m.learners if m.of(learner.name, m.full.name)]
    columns = [
        Column("set", "Trained on", "text"),
        Column("bytes_share", "Of all bytes", unit="%", decimals=2),
        Column("compressed", "Compressed", unit="B", decimals=0),
    ]
    for learner in learners:
        star = " (made for it)" if learner.name == m.origin.optimised_for else ""
        columns += with_interval(learner.name, f"{learner.label}{star}", "%")
    rows: list[dict[str, Cell]] = []
    for one in m.sets:
        share = 100 * one.bytes / m.full.bytes if m.full.bytes else math.nan
        row: dict[str, Cell] = {"set": one.label, "bytes_share": share, "compressed": one.compressed}
        for learner in learners:
            row |= spread(learner.name, c.share(learner.name, one.name), 100)
        if one.role != "full" and any(row[learner.name] is not None for learner in learners):
            rows.append(row | {"n": m.test.n})
    columns.append(Column("n", "n", unit=f"test {m.test.units}", decimals=0))
    made_for = next((one.label for one in m.learners if one.name == m.origin.optimised_for), "")
    note = f"The summary was optimised for {made_for}; the other columns show how it carries over." if made_for else ""
    return Table(
        "cross_learner",
        f"Share of full-data {m.metric.label} kept, by learner",
        tuple(columns),
        tuple(rows),
        note=note,
        highlight=tuple(i for i, row in enumerate(rows) if row["set"] == m.summary.label),
        heading="How it carries over",
    )


def privacy(m: Measurements) -> Table:
    """How near the summary's records lie to real training records, and what attacks find out."""
    return Table(
        "privacy",
        "Nearest real records, and attacks",
        (
            Column("measure", "Measure", "text"),
            Column("value", "Value", decimals=3, interval=("low", "high")),
            Column("low", "Value, low", decimals=3),
            Column("high", "Value, high", decimals=3),
            Column("unit", "Unit", "text"),
            Column("n", "n", unit="records", decimals=0),
            Column("note", "Note", "text"),
        ),
        tuple(
            {
                "measure": p.label, "value": p.value, "low": p.low, "high": p.high,
                "unit": p.unit, "n": p.n, "note": p.note,
            }
            for p in m.privacy
        ),
        heading="How near it comes to real records",
    )  # fmt: skip


def _chosen(results: tuple[TrainedResult, ...]) -> str:
    said = [", ".join(f"{name} {_short(value)}" for name, value in r.chosen.items()) for r in results]
    return "; ".join(dict.fromkeys(text for text in said if text))


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
