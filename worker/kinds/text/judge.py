"""Judge selections of documents at equal bytes of training text: train learners on them, on the full data and on cheap
selections; measure bits per byte on held-out documents, in domain and of known quality, and what learners know of
sources.

Where a high-quality set is at hand the verdict speaks of it, else of the dataset's own held-out documents. Neither
decides alone: what is ahead on the one may be behind on the other, and the report says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from worker.contract.context import Context
from worker.contract.learner import and_floors, learners_of
from worker.evidence.columns import counts, spread, with_interval
from worker.evidence.comparison import Comparison
from worker.evidence.findings import Findings
from worker.evidence.measurements import Measurements, Protocol, TestSet
from worker.evidence.summary_verdict import FEWEST_UNITS
from worker.evidence.table import Cell, Column, Table
from worker.evidence.training import Plan, code_hash, train_all
from worker.evidence.wording import number
from worker.kinds.text import composition, score_report
from worker.kinds.text.baselines import DocumentSet, document_sets
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.evaluate_params import KIND, EvaluateParams, evaluate_params
from worker.kinds.text.held_out import BITS, MACRO, Asked, HeldOut, held_out
from worker.kinds.text.summary import TextSummary

__all__ = ["EvaluateParams", "evaluate_params", "judge"]

_FEW_DOCUMENTS, _FEW_BYTES, _MANY_EPOCHS = 50, 50_000, 4.0


def judge(
    data: Corpus, summaries: Sequence[TextSummary], params: EvaluateParams, ctx: Context
) -> Measurements | Findings:
    """Train every learner on every set, measure on held-out documents, and describe the sets and their scores.

    Findings that say so where every test document is a near-copy of one that is trained on: what was selected is
    delivered all the same.

    Raises `JobError` `too_few_rows` when there are no test documents, `Cancelled` when a stop was asked for, `TimeOver`
    when the time is over before anything was measured.
    """
    with ctx.part("sets", 0, 10, seed=ctx.seed) as part:
        held = held_out(data, summaries, params, part)
        if not len(held.test):
            return Findings.unmeasured(
                kind=KIND,
                unit="document",
                units="documents",
                reason="every test document is a near-copy of a training document, or stands in an uploaded subset "
                "piece by piece, so nothing can be measured; upload the documents without near-copies, or hold out "
                "whole sources (split=group)",
                warnings=_said_before(summaries, ctx),
            )
        sets = document_sets(data, summaries, params, part)
    plan = _plan(sets, held, params)
    with ctx.part("train", 1, 2, seed=ctx.seed) as part:
        trained = train_all(plan, part)
    names = [one.record.name for one in sets if one.record.role == "summary"]
    measured = Measurements(
        kind=KIND,
        unit="document",
        units="documents",
        event="tokens",
        sets=tuple(one.record for one in sets),
        tests=held.tests,
        learners=tuple(sorted(plan.learners, key=lambda one: one.floor)),
        metrics=held.metrics,
        primary=BITS.name,
        results=trained.results,
        protocol=_protocol(held, sets, plan, params, ctx),
        origins={name: one.origin for name, one in zip(names, summaries, strict=True)},
        plots=tuple(score_report.plots(data, summaries, ctx.seed)),
        unfinished=trained.unfinished,
        bootstrap=params.bootstrap,
        seed=ctx.seed,
    )
    leads = leads_table(Comparison(measured))
    said = [*_said_before(summaries, ctx), *_warnings(sets, held, leads)]
    return replace(
        measured,
        tables=(
            leads,
            composition.training_table(sets),
            composition.composition_table(sets),
            composition.coverage_table(sets, held, trained.results),
            *score_report.tables(data, summaries, ctx.seed),
            *_facts(summaries),
        ),
        warnings=tuple(dict.fromkeys(said)),
    )


def _plan(sets: Sequence[DocumentSet], held: HeldOut, params: EvaluateParams) -> Plan:
    known = learners_of(KIND)
    asked = [held.validation, held.test, *([] if held.hq is None else [held.hq])]
    return Plan(
        learners=[params.tuned(known[name]) for name in and_floors(params.learners, known)],
        contenders=[one.contender for one in sets],
        metric=BITS,
        params=params,
        validator=(lambda _: held.validate) if len(held.validation) else None,
        measure=held.measure,
        digest=lambda text: text.digest,
        basis={"metric": BITS.name, "held out": [_digest(one) for one in asked]},
        code=_code(),
        timings=0,
    )


def _digest(asked: Asked) -> str:
    parts = (asked.documents.buffer, asked.documents.offsets, asked.source)
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


@cache
def _code() -> str:
    return code_hash(Path(__file__).parent)


def leads_table(c: Comparison) -> Table:
    """How far the first summary is ahead of every other set, on each held-out set, paired over documents."""
    m = c.measurements
    rows: list[dict[str, Cell]] = []
    for test in m.tests:
        metric = MACRO if test.name == "source" else BITS
        for learner in (one for one in m.learners if not one.floor):
            for one in (one for one in m.sets if one != m.summary):
                ahead = c.ahead(learner.name, m.summary.name, one.name, metric.name, test.name)
                if ahead is not None:
                    rows.append(
                        {"test": f"{test.label}, {metric.label}", "learner": learner.label, "set": one.label}
                        | {"role": one.role, "test_name": test.name}
                        | spread("ahead", ahead, metric.scale)
                        | {"unit": metric.unit}
                        | counts(ahead)
                    )
    return Table(
        "leads",
        "How far the summary is ahead at equal bytes of training text, on every held-out set",
        (
            Column("test", "Measured on", "text"),
            Column("test_name", "Test set", "text", shown=False),
            Column("learner", "Learner", "text"),
            Column("set", "Ahead of", "text"),
            Column("role", "Role", "text", shown=False),
            *with_interval("ahead", "By", "", BITS.decimals),
            Column("unit", "Unit", "text"),
            Column("n", "n", unit="test documents", decimals=0),
            Column("draws", "Draws", unit="per set", decimals=0),
            Column("seeds", "Seeds", unit="per learner", decimals=0),
        ),
        tuple(rows),
        note="Above 0: the summary is better (fewer bits per byte, more sources named right). Paired over documents.",
        group="test",
        heading="On every held-out set",
    )


def _facts(summaries: Sequence[TextSummary]) -> Iterator[Table]:
    """Numbers that methods give of themselves."""
    for place, summary in enumerate(summaries):
        rows: tuple[dict[str, Cell], ...] = tuple(
            {"fact": name.replace("_", " "), "value": _said(value)} for name, value in summary.facts.items()
        )
        if rows:
            columns = (Column("fact", "What", "text"), Column("value", "Value", "text"))
            name = "facts" if not place else f"facts_{place + 1}"
            yield Table(name, f"What {summary.origin.method} says of itself", columns, rows, heading="Of the method")


def _said(value: object) -> str:
    return number(value, 4) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)[:200]


def _protocol(held: HeldOut, sets: Sequence[DocumentSet], plan: Plan, params: EvaluateParams, ctx: Context) -> Protocol:
    seen = sets[0].draws[0].text
    fields = {
        "split": {"content": ctx.content, "name": sets[0].draws[0].corpus.split_by},
        "metric": {"name": BITS.name, "leads": held.tests[0].name},
        "learners": {one.name: one.version for one in plan.learners},
        "tuning": {
            "documents": len(held.validation),
            "settings": {one.name: [dict(settings) for settings in one.settings] for one in plan.learners},
        },
        "seeds": {"job": ctx.seed, "draws": params.draws, "learners": {one.name: one.seeds for one in plan.learners}},
        "tests": {one.name: one.n for one in held.tests},
        "training": {"bytes": seen.bytes},
        "held out": dict(plan.basis),
    }
    part = 100 * seen.distinct / max(1, sets[0].record.bytes)
    leads = (
        "The verdict speaks of the high-quality set, whose documents are what its intervals are over"
        if held.hq is not None
        else "There is no high-quality set, so the verdict speaks of the dataset's own held-out documents: a selection "
        "that leaves out part of the dataset is worse there, however good the rest is"
    )
    text = (
        f"Every learner sees {number(seen.bytes)} bytes of training text of every set, and nothing else; sets that "
        "hold more give whole documents in a random order until there are as many, sets that hold fewer are read "
        f"again (see What was read). Of the full data this is {part:.3g} %, drawn anew each time. Cheap selections "
        "hold as many bytes as the summary, the last document cut. Bits per byte are the sum of -log2 of the "
        "probability of every byte over the number of bytes in UTF-8, over whole documents, each read on its own; they "
        f"can be compared across learners, and less is better. {leads}. {_task(held)}Learners have nothing that is "
        "chosen on validation documents but the learner that the verdict speaks of. Intervals resample test "
        "documents, the draws of a set and the seeds of a learner; weights of a summary are not used."
    )
    return Protocol(fields, text)


def _task(held: HeldOut) -> str:
    if held.sources is None:
        return ""
    return (
        f"The further task is to name the source of a document among {len(held.sources.names)}, by a logistic "
        "regression with equal weight to each source on frozen features of the learner, fitted on "
        f"{number(len(held.sources.fitted))} validation documents: latent semantic analysis of hashed words of the "
        "training text beside the n-gram, mean states of the transformer. Macro accuracy is the mean over sources of "
        f"the share named right; {100 / len(held.sources.names):.3g} is chance. "
    )


def _said_before(summaries: Sequence[TextSummary], ctx: Context) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*(text for one in summaries for text in one.warnings), *ctx.warnings]))


def _warnings(sets: Sequence[DocumentSet], held: HeldOut, leads: Table) -> Iterator[str]:
    for test in held.tests[: 1 if held.hq is None else 2]:
        if test.n < _FEW_DOCUMENTS:
            worth = "is wide" if test.n >= FEWEST_UNITS else "is narrower than what is known"
            yield f"Only {test.n} documents in {test.label}: every interval there {worth}."
    seen = sets[0].draws[0].text.bytes
    if seen < _FEW_BYTES:
        yield (f"Learners saw only {number(seen)} bytes of each set: what helps with so little text may not with more.")
    for one in sets:
        epochs = one.draws[0].text.epochs
        if one.record.role == "summary" and epochs > _MANY_EPOCHS:
            yield f"{one.record.label.capitalize()} was read {epochs:.3g} times over to see as many bytes."
    yield from _elsewhere(held.tests, leads)


def _elsewhere(tests: Sequence[TestSet], leads: Table) -> Iterator[str]:
    """Where the summary is behind a cheap selection on a set that the verdict does not speak of."""
    others, said = {test.name for test in tests[1:]}, set[tuple[Cell, Cell]]()
    for row in sorted(leads.rows, key=lambda row: float(row["ahead"] or 0)):
        high, named = row["ahead_high"], (row["test_name"], row["learner"])
        if row["test_name"] not in others or row["role"] != "baseline" or named in said:
            continue
        if isinstance(high, float) and high < 0:
            said.add(named)
            yield (
                f"On {row['test']}, it is behind {row['set']} by {_behind(row)} {row['unit']} ({row['learner']}): what "
                "is good for one held-out set is not for the other."
            )


def _behind(row: dict[str, Cell]) -> str:
    low, value, high = (-float(row[key] or 0) for key in ("ahead_high", "ahead", "ahead_low"))
    return f"{number(value, 3)} [{number(low, 3)}, {number(high, 3)}]"
