"""From the measurements of a summary to findings: what it keeps, beside what, at which cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.evidence import figures, tables, wording
from worker.evidence.comparison import Comparison
from worker.evidence.findings import Findings, KeyFigure, Tone
from worker.evidence.measurements import DistilCost, Measurements
from worker.evidence.table import Table
from worker.evidence.verdict import Verdict, decide

_STATUS = {
    "keeps": "Ahead of the cheap baselines",
    "cheap_would_do": "A cheap baseline would do",
    "undetermined": "Undetermined",
}
_TONES: dict[str, Tone] = {"keeps": "good", "cheap_would_do": "even", "undetermined": "open"}


def conclude(measurements: Measurements, job: Mapping[str, Any]) -> Findings:
    """Judge the measurements; `job` as in `worker.evidence.report.build`."""
    m = measurements
    comparison = Comparison(m)
    verdict = decide(comparison, str(job.get("method", "")))
    distilling = _distilling(m, job)
    built = tables.all_tables(comparison, distilling)
    spent = cost(m, distilling, built)
    return Findings(
        kind=m.kind,
        unit=m.unit,
        units=m.units,
        test_units=m.test_units,
        n_test=m.n_test,
        verdict=verdict.to_json(),
        status=_status(verdict),
        headline=_headline(verdict),
        tone=_TONES[verdict.status],
        because=_because(m, verdict),
        key_figures=tuple(_key_figures(m, verdict, spent)),
        tables=built,
        plots=figures.all_figures(comparison, verdict.learner),
        warnings=(*m.warnings, *warnings(comparison, verdict)),
        protocol=m.protocol,
        lead="fidelity",
        metric=vars(m.metric) | {},
        cost=spent,
    )


def warnings(c: Comparison, verdict: Verdict) -> list[str]:
    """What every kind warns of: a summary larger than its source, or one that a floor on the full data beats."""
    m = c.measurements
    said = []
    if m.summary.bytes > m.full.bytes:
        said.append(
            f"The summary is larger than its source: {wording.size(m.summary.bytes)} against "
            f"{wording.size(m.full.bytes)}. It saves rows, not bytes."
        )
    for floor in (learner for learner in m.learners if learner.floor):
        if verdict.learner and floor.name != verdict.learner:
            lead = c.lead(verdict.learner, floor.name, trained_on=m.summary.name)
            if lead is not None and not lead.value > 0:
                said.append(
                    f"{verdict.learner_label} trained on the summary does not beat {floor.label}, which needs only "
                    "counts of the full data."
                )
    return said + _per_byte(c, verdict)


def _per_byte(c: Comparison, verdict: Verdict) -> list[str]:
    """Where a cheap baseline that fills the same bytes keeps as much, rows flatter the summary."""
    m = c.measurements
    said = []
    for one in (s for s in m.sets if s.role == "baseline" and s.equal == "bytes"):
        kept = c.fidelity(verdict.learner, one.name) if verdict.learner else None
        if kept is not None and verdict.low is not None and kept.high >= verdict.low:
            said.append(
                f"Byte for byte a cheap pick does as well: {wording.number(one.rows)} {one.label} "
                f"({wording.size(one.bytes)}) keep {wording.percent(kept)}."
            )
    return said


def cost(m: Measurements, distilling: DistilCost, built: tuple[Table, ...]) -> dict[str, Any]:
    """The cost of making the summary and of training, per learner, every number with its unit."""
    rows = next((table.rows for table in built if table.name == "cost"), ())
    return {
        "distilling": {
            "seconds": {"value": distilling.seconds, "unit": "s", "n": 1},
            "peak_memory": {"value": distilling.peak_mb, "unit": "MB", "n": 1},
        },
        "learners": [
            {
                "learner": row["learner"],
                "train_full": {"value": row["fit_full"], "unit": "s"},
                "train_summary": {"value": row["fit_summary"], "unit": "s"},
                "break_even": {"value": row["break_even"], "unit": "trainings", "said": row["pays"]},
                "n": row["n"],
            }
            for row in rows
        ],
    }


def _distilling(m: Measurements, job: Mapping[str, Any]) -> DistilCost:
    # Judging a summary that was there already says nothing about what it took to make it.
    measured = {} if job.get("task") == "evaluate" else job.get("cost") or {}
    return DistilCost(measured.get("seconds", m.distilling.seconds), measured.get("peak_mb", m.distilling.peak_mb))


def _status(verdict: Verdict) -> str:
    if verdict.status == "keeps" and verdict.baseline is None:
        return "Measured"
    return _STATUS[verdict.status]


def _headline(verdict: Verdict) -> str:
    if verdict.status == "undetermined" or verdict.fidelity is None:
        return "Undetermined"
    return f"Keeps {wording.number(100 * verdict.fidelity, 1)}\u202f% of full\u2011data {verdict.metric_label}"


def _because(m: Measurements, verdict: Verdict) -> str:
    if not verdict.learner:
        return ""
    measured = f"on {wording.number(m.n_test)} test {m.test_units}"
    return f"Judged with {verdict.learner_label}, {verdict.learner_because}, {measured}."


def _key_figures(m: Measurements, v: Verdict, spent: dict[str, Any]) -> list[KeyFigure]:
    """The four or five numbers that a reader looks for first."""
    learner = v.learner_label.replace("-", "\u2011")
    found = []
    if v.fidelity is not None:
        kept = f"{wording.number(100 * v.fidelity, 1)}\u202f%"
        found.append(KeyFigure(f"of full-data {v.metric_label}, {learner}", kept, wording.ends(v.low, v.high, 100)))
    rows = f"{wording.number(m.summary.rows, 0)} of {wording.number(m.full.rows, 0)}"
    size = f"{wording.size(m.summary.bytes)} of {wording.size(m.full.bytes)}"
    found += [
        KeyFigure(f"of the {m.units}", wording.share(v.rows_share), rows),
        KeyFigure("of the bytes", wording.share(v.bytes_share), size),
    ]
    if v.baseline is not None:
        kept = f"{wording.number(100 * v.baseline.fidelity, 1)}\u202f%"
        ends = wording.ends(v.baseline.low, v.baseline.high, 100)
        found.append(KeyFigure(f"kept by {v.baseline.label}", kept, ends))
    seconds = spent["distilling"]["seconds"]["value"]
    if seconds is not None:
        found.append(KeyFigure("to make it", wording.duration(seconds), _paid(v, spent)))
    return found


def _paid(verdict: Verdict, spent: dict[str, Any]) -> str:
    for row in spent["learners"]:
        if row["learner"] == verdict.learner_label:
            said = row["break_even"]["said"]
            return {"never": "never pays by training time", "unknown": ""}.get(said, f"has paid {said}")
    return ""
