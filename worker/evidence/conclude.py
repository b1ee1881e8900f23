"""From the measurements of a summary to findings: what it keeps, beside what, at which cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from worker.evidence import costs, figures, tables, wording
from worker.evidence.archive import NAME, archive
from worker.evidence.comparison import Comparison
from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.measurements import MakingCost, Measurements
from worker.evidence.noise import Noise
from worker.evidence.ordering import Ordering
from worker.evidence.searches import tuning
from worker.evidence.summary_verdict import Judged, judge
from worker.evidence.table import Table
from worker.evidence.verdict import Verdict


def conclude(measurements: Measurements, job: Mapping[str, Any]) -> Findings:
    """Judge the measurements; `job` as in `worker.evidence.report.build`."""
    m = measurements
    comparison, noise = Comparison(m), Noise(m)
    judged = [judge(comparison, summary) for summary in m.summaries]
    known, verdict = judged[0]
    made = costs.making(m, job)
    cost = costs.cost_table(m, made)
    spent = costs.cost_json(cost, made)
    return Findings(
        kind=m.kind,
        unit=m.unit,
        units=m.units,
        test_units=m.test.units,
        n_test=m.test.n,
        verdict=verdict,
        headline=_headline(known, verdict),
        because=_because(m, known),
        key_figures=tuple(_key_figures(known, made)),
        tables=_tables(comparison, judged, cost, noise, job),
        plots=figures.all_figures(comparison, known, noise),
        families=figures.families(m),
        pictures=m.pictures,
        warnings=(*m.warnings, *warnings(comparison, known)),
        protocol=m.protocol,
        lead="fidelity",
        metric=vars(m.metric) | {},
        unfinished=m.unfinished,
        cost=spent,
        files={NAME: archive(m)},
        more={
            "tests": [{"name": t.name, "label": t.label, "units": t.units, "n": t.n} for t in m.tests],
            "bootstrap": {"resamples": m.bootstrap, "seed": m.seed},
            "origin": {"method": m.origin.method, "reason": m.origin.reason, "optimised_for": m.origin.optimised_for},
            "summaries": [
                {"name": one.summary.name, "label": one.summary.label, "verdict": said.to_json()}
                for one, said in judged
            ],
            "reused_from": costs.reused_from(m),
        },
    )


def _tables(
    c: Comparison, judged: list[tuple[Judged, Verdict]], cost: Table, noise: Noise, job: Mapping[str, Any]
) -> tuple[Table, ...]:
    """Every table that has rows: fidelity first, then sizes, cost, the matrix, all metrics, the kind's own."""
    m = c.measurements
    built = [
        tables.fidelity(c), tables.summaries(c, judged), tables.sizes(m, job.get("uploaded_bytes")), cost,
        tables.cross_learner(c), tables.metrics(c), *m.tables, tables.privacy(m), tuning(m, noise),
    ]  # fmt: skip
    return tuple(table for table in built if table.rows)


def warnings(c: Comparison, known: Judged) -> list[str]:
    """What every kind warns of: a summary that saves no bytes, or that a floor on the full data beats."""
    m = c.measurements
    said = _saves_nothing(m)
    for form in (one for one in m.sets if one.role == "form" and one.bytes > m.full.bytes):
        sizes = f"{wording.size(form.bytes)} against {wording.size(m.full.bytes)}"
        said.append(f"One of its forms, {form.label}, is larger than the source: {sizes}.")
    learner = known.learner
    for floor in (one for one in m.learners if one.floor and learner is not None):
        lead = c.lead(learner.name, floor.name, trained_on=m.summary.name) if learner else None
        if learner is not None and lead is not None and not lead.value > 0:
            said.append(
                f"{learner.label} trained on the summary does not beat {floor.label} on the full data, a floor that "
                "needs no summary."
            )
    return said


def _saves_nothing(m: Measurements) -> list[str]:
    summary, full = m.summary, m.full
    if summary.bytes > full.bytes:
        return [
            f"The summary is larger than its source: {wording.size(summary.bytes)} against {wording.size(full.bytes)}. "
            f"It saves {m.units}, not bytes."
        ]
    least = min(summary.bytes, summary.bytes if summary.compressed is None else summary.compressed)
    if full.compressed is not None and least >= full.compressed:
        return [
            "The summary saves nothing over lossless compression: its source compresses to "
            f"{wording.size(full.compressed)}, the summary takes {wording.size(least)}."
        ]
    return []


def _headline(known: Judged, verdict: Verdict) -> str:
    text = "Undetermined, and it" if verdict.caveat else "Undetermined"
    if verdict.status != "undetermined" and known.share is not None:
        text = f"{_percent(known.share.value)} of full\u2011data {known.measurements.metric.kept}"
        text = f"A cheap pick that keeps {text}" if known.is_cheap_pick else f"Keeps {text}"
        if known.same is not None and not known.same.repeats:
            again = (
                f"other draws of {known.same.set.label}"
                if known.same.draws > 1
                else f"{known.same.set.label} once more"
            )
            text += f"; {again}: {_percent(known.same.share.value)}"
        text += ", but" if verdict.caveat else ""
    return f"{text} {verdict.caveat}".rstrip()


def _because(m: Measurements, known: Judged) -> str:
    if known.learner is None:
        return ""
    measured = f"on {wording.number(m.test.n)} test {m.test.units}"
    chosen = f" The method was chosen so: {m.origin.reason.rstrip('.')}." if m.origin.reason else ""
    return f"Judged with {known.learner.label}, {known.because}, {measured}.{chosen}"


def _key_figures(known: Judged, made: MakingCost) -> list[KeyFigure]:
    """The numbers that a reader looks for first."""
    m, share, found = known.measurements, known.share, list[KeyFigure]()
    if share is not None and known.learner is not None and math.isfinite(share.value):
        learner = known.learner.label.replace("-", "\u2011")
        ends = wording.ends(share.low, share.high, 100)
        found.append(KeyFigure(f"of full-data {m.metric.kept}, {learner}", _percent(share.value), ends))
    if (at_best := known.best_against_best) is not None and math.isfinite(at_best.share.value):
        label = f"best against best: {at_best.on_summary.label} over {at_best.on_full.label}"
        ends = wording.ends(at_best.share.low, at_best.share.high, 100)
        found.append(KeyFigure(label, _percent(at_best.share.value), ends))
    rows = f"{wording.number(m.summary.rows, 0)} of {wording.number(m.full.rows, 0)}"
    size = f"{wording.size(m.summary.bytes)} of {wording.size(m.full.bytes)}"
    found += [
        KeyFigure(f"of the {m.units}", wording.share(known.rows_share), rows),
        KeyFigure("of the bytes", wording.share(known.bytes_share), size),
    ]
    for rival in (known.same, known.best):
        if rival is not None:
            ends = wording.ends(rival.share.low, rival.share.high, 100)
            found.append(KeyFigure(f"kept by {rival.set.label}", _percent(rival.share.value), ends))
    found += _of_ordering(m, known.ordering)
    if made.seconds is not None:
        found.append(KeyFigure("to make it", wording.duration(made.seconds), _paid(known, made)))
    return found


def _of_ordering(m: Measurements, found: Ordering) -> list[KeyFigure]:
    count = len(found.configurations)
    label = "ordering of configurations, Kendall's tau\u2011b"
    if found.tau is None or found.regret is None:
        return [KeyFigure(label, "undetermined", found.because)]
    ends = wording.ends(found.tau.low, found.tau.high, decimals=2)
    scale, unit = m.metric.scale, f" {m.metric.unit}" if m.metric.unit else ""
    lost = wording.number(scale * found.regret.value, wording.decimals_of(found.regret.width * scale / 2))
    share = "" if found.regret_share is None else f"{wording.share(found.regret_share)} of the best"
    if found.regret.low <= 0 <= found.regret.high:
        share = "within the noise of validation"
    return [
        KeyFigure(label, wording.number(found.tau.value, 2), f"{ends} over {count} configurations".strip()),
        KeyFigure(f"lost in validation {m.metric.label} by taking the summary's favourite", f"{lost}{unit}", share),
    ]


def _paid(known: Judged, made: MakingCost) -> str:
    """Said only where repeated timings show it."""
    pays = None if known.learner is None else costs.paid(known.measurements, known.learner, made)
    if pays is None or pays.because:
        return ""
    if pays.known:
        return f"has paid {pays.words}"
    return "never pays by training time" if pays.words == "never" else "not shown to pay by training time"


def _percent(value: float) -> str:
    return f"{wording.number(100 * value, 1)}\u202f%"
