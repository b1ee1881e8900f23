"""Put summaries of one dataset side by side from the scores that their reports hold: nothing is trained.

Every kind whose summaries are judged by learners has it as the method `compare`. Figures are those of the reports, the
bootstrap is drawn anew with the same test units for all of them, so that the difference between two summaries has an
interval of its own, which two intervals that overlap do not tell. Reports of different protocols are refused: such
figures never share a table. O(resamples x units x results) time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import NoParams
from worker.contract.method import Cost, Input, Method, Term
from worker.evidence.columns import counted, counts, spread, with_interval
from worker.evidence.comparison import Comparison
from worker.evidence.conclude import conclude
from worker.evidence.findings import Findings
from worker.evidence.learners import named
from worker.evidence.measurements import Measurements
from worker.evidence.merge import merge
from worker.evidence.restore import Evidence
from worker.evidence.summary_verdict import FEWEST_UNITS
from worker.evidence.table import Cell, Column, Table

NAME = "compare"
_NEITHER = "neither is clearly ahead"
SUMMARIES = Input("summaries", "evidence", many=True, description="Summaries of this dataset, as they were judged.")


def compare(data: object, params: NoParams, ctx: Context) -> Findings:
    """Several summaries of this dataset side by side, with the differences between them; nothing is trained."""
    del data, params  # what is compared was measured already
    given: Sequence[Evidence] = ctx.inputs[SUMMARIES.name]
    ctx.progress(0, 2, phase="merge")
    if len(given) < 2:
        raise JobError(
            "invalid_input",
            "There is one summary, and nothing to compare it with.",
            hint="Name two or more.",
            pointer=f"/inputs/{SUMMARIES.name}",
        )
    try:
        merged = merge(_named(given))
    except ValueError as error:
        raise JobError(
            "invalid_input",
            f"These summaries cannot share a table: {error}.",
            hint="Judge them alike: the same version, `evaluate` settings and learners.",
            pointer=f"/inputs/{SUMMARIES.name}",
        ) from None
    ctx.progress(1, 2, phase="differences")
    c = Comparison(merged)
    found = conclude(replace(merged, tables=(differences(c),)), {"kind": merged.kind, "task": "compare"})
    first = part_of(merged.summary.name)
    because = f"Verdict and figures at the head are those of {first}; each summary's own stand below. {found.because}"
    return replace(found, headline=headline(c), because=because)


def headline(c: Comparison) -> str:
    """Which summary keeps most, by the learner that the first one's verdict speaks of; and whether that is certain."""
    m = c.measurements
    learner, _ = named(c, m.summary.name)
    shares = {one.name: c.share(learner.name, one.name) for one in m.summaries} if learner else {}
    ranked = sorted(((s.value, name) for name, s in shares.items() if s and math.isfinite(s.value)), reverse=True)
    if learner is None or len(ranked) < 2:
        return "The summaries share no learner that was measured on all"
    (_, best), (_, second) = ranked[:2]
    ahead = c.ahead(learner.name, best, second)
    if ahead is None or ahead.n < FEWEST_UNITS or not ahead.estimate.low > 0:
        return f"No summary is clearly ahead by {learner.label}"
    return f"{part_of(best)} is ahead of {part_of(second)} by {learner.label}"


def part_of(name: str) -> str:
    """Of which report a set of merged measurements is."""
    return name.partition(":")[0]


def differences(c: Comparison) -> Table:
    """Each summary against each other one, learner by learner, on the same test units."""
    m = c.measurements
    rows: list[dict[str, Cell]] = []
    for learner in m.learners:
        for one, other in combinations(m.summaries, 2):
            ahead = c.ahead(learner.name, one.name, other.name)
            if ahead is None:
                continue
            low, high = ahead.estimate.low, ahead.estimate.high
            known = ahead.n >= FEWEST_UNITS
            said = "the first" if known and low > 0 else "the second" if known and high < 0 else _NEITHER
            rows.append(
                {"learner": learner.label, "first": one.label, "second": other.label, "said": said}
                | spread("ahead", ahead, m.metric.scale)
                | spread("kept", c.ahead_in_share(learner.name, one.name, other.name), 100)
                | {"bytes": one.bytes - other.bytes}
                | counts(ahead)
            )
    return Table(
        "differences",
        f"{m.metric.label} of each learner on the first summary less that on the second",
        (
            Column("learner", "Learner", "text"),
            Column("first", "First", "text"),
            Column("second", "Second", "text"),
            *with_interval("ahead", "First ahead by", m.metric.unit, m.metric.decimals),
            *with_interval("kept", "In shares of the full data", "%"),
            Column("said", "Ahead", "text"),
            Column("bytes", "Bytes more", unit="B", decimals=0),
            *counted(m.test.units),
        ),
        tuple(rows),
        note=f"In brackets: 95\u202f% intervals of the difference, {m.bootstrap} paired bootstrap resamples.",
        heading="Against each other",
        group="learner",
    )


def method_of(kind: str) -> Method:
    """The method of a kind."""
    return Method(
        kind=kind,
        task="compare",
        name=NAME,
        version=1,
        paper="",
        summary=(compare.__doc__ or "").strip(),
        params=NoParams,
        run=compare,
        device="cpu",
        queue="cpu",
        memory_mb=1024,
        inputs=(SUMMARIES,),
        needs=(),
        cost=Cost(seconds=(Term(5.0),)),
    )


def _named(given: Sequence[Evidence]) -> dict[str, Measurements]:
    """By their labels, which are made to differ."""
    named: dict[str, Measurements] = {}
    for one in given:
        label, number = one.label, 2
        while label in named:
            label, number = f"{one.label} ({number})", number + 1
        named[label] = one.measurements
    return named
