"""What making the summary and training on it cost, after how many trainings that pays, and which figures are reused."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from worker.evidence.measurements import MakingCost, Measurements, TrainedResult
from worker.evidence.table import Cell, Column, Table
from worker.evidence.wording import duration, number

NEVER = "never"


def making(m: Measurements, job: Mapping[str, Any]) -> MakingCost:
    """What making took: as the runtime measured it, else as the measurements say."""
    measured = job.get("cost") or {}
    return MakingCost(measured.get("seconds", m.making.seconds), measured.get("peak_mb", m.making.peak_mb))


def cost_table(m: Measurements, made: MakingCost) -> Table:
    """Per learner: one training on full and on the summary, the search, memory, and when distilling has paid."""
    rows: list[dict[str, Cell]] = []
    for learner in m.learners:
        full, small = m.of(learner.name, m.full.name), m.of(learner.name, m.summary.name)
        if not full or not small:
            continue
        fit_full, fit_small = _mean([r.fit_s for r in full]), _mean([r.fit_s for r in small])
        after = break_even(made.seconds, fit_full, fit_small)
        rows.append(
            {
                "learner": learner.label,
                "fit_full": fit_full,
                "fit_summary": fit_small,
                "tune_full": _mean([r.tune_s for r in full]),
                "tune_summary": _mean([r.tune_s for r in small]),
                "mb_full": _most(r.peak_mb for r in full),
                "mb_summary": _most(r.peak_mb for r in small),
                "break_even": after if isinstance(after, int) else None,
                "pays": break_even_words(after),
                "timed_in": _timed_in({"full data": full, "summary": small}),
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
            Column("timed_in", "Timed in", "text"),
            Column("n", "n", unit="runs", decimals=0),
        ),
        tuple(rows),
        note=" ".join(
            [
                _made(made),
                "Wall-clock time; memory is what training took beyond what was in use before.",
                *(reuse_sentence(m, one) for one in reused_from(m)),
            ]
        ),
        heading="What it costs",
    )


def _made(made: MakingCost) -> str:
    if made.seconds is None:
        return "What making the summary cost is not known here."
    memory = "" if made.peak_mb is None else f" and at most {number(made.peak_mb, 0)} MB of memory"
    return f"Making the summary took {duration(made.seconds)}{memory} (one run)."


def reused_from(m: Measurements) -> list[dict[str, Any]]:
    """Which figures come from earlier jobs: the job, and the sets and learners whose figures do."""
    jobs = dict.fromkeys(r.job for r in m.results if r.job)
    return [
        {
            "job": job,
            "sets": [s.name for s in m.sets if any(r.set == s.name and r.job == job for r in m.results)],
            "learners": [
                one.name for one in m.learners if any(r.learner == one.name and r.job == job for r in m.results)
            ],
        }
        for job in jobs
    ]


def reuse_sentence(m: Measurements, reused: Mapping[str, Any]) -> str:
    """Which figures come from one earlier job, for a reader."""
    roles = [one.role for one in m.sets if one.name in reused["sets"]]
    parts = ["the full data"] if "full" in roles else []
    for role, one, many in (("baseline", "baseline", "baselines"), ("summary", "summary", "summaries")):
        if count := roles.count(role):
            parts.append(f"{count} {one if count == 1 else many}")
    return (
        f"Figures of {' and of '.join(parts or ['other forms'])} come from job {reused['job']}, under the same "
        "protocol; their times were measured there."
    )


def cost_json(table: Table, made: MakingCost) -> dict[str, Any]:
    """The cost of making the summary and of training, per learner, every number with its unit."""
    return {
        "distilling": {
            "seconds": {"value": made.seconds, "unit": "s", "n": 1},
            "peak_memory": {"value": made.peak_mb, "unit": "MB", "n": 1},
        },
        "learners": [
            {
                "learner": row["learner"],
                "train_full": {"value": row["fit_full"], "unit": "s"},
                "train_summary": {"value": row["fit_summary"], "unit": "s"},
                "break_even": {"value": row["break_even"], "unit": "trainings", "said": row["pays"]},
                "timed_in": row["timed_in"],
                "n": row["n"],
            }
            for row in table.rows
        ],
    }


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
    if isinstance(after, str):
        return after
    return "after 1 training" if after == 1 else f"after {number(after)} trainings"


def _timed_in(sides: Mapping[str, Sequence[TrainedResult]]) -> str:
    """Where reused figures were timed, "" when all of them were timed in this job."""
    said = {side: ", ".join(sorted({r.job for r in results} - {""})) for side, results in sides.items()}
    return "; ".join(f"{side}: job {jobs}" for side, jobs in said.items() if jobs)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _most(values: Iterable[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)
