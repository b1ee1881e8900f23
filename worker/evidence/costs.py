"""What making the summary and training on it cost, after how many trainings that pays, and which figures are reused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from worker.contract.learner import Learner
from worker.evidence.columns import with_interval
from worker.evidence.measurements import MakingCost, Measurements, TrainedResult
from worker.evidence.statistics import Estimate
from worker.evidence.table import Cell, Column, Table
from worker.evidence.timings import Payback, Timings, payback, ratio, timings_of
from worker.evidence.wording import duration, number


def making(m: Measurements, job: Mapping[str, Any]) -> MakingCost:
    """What making took: as the runtime measured it, else as the measurements say."""
    measured = job.get("cost") or {}
    return MakingCost(measured.get("seconds", m.making.seconds), measured.get("peak_mb", m.making.peak_mb))


def cost_table(m: Measurements, made: MakingCost) -> Table:
    """Per learner: one training on full and on the summary, the searches, memory, and when distilling has paid."""
    rows = [_row(m, learner, made) for learner in m.learners]
    return Table(
        "cost",
        "What training costs on the full data and on the summary",
        (
            Column("learner", "Learner", "text"),
            *with_interval("fit_full", "One training, full", "s"),
            *with_interval("fit_summary", "One training, summary", "s"),
            *with_interval("ratio", "Full takes", "times as long"),
            Column("tune_full", "Whole search, full", unit="s"),
            Column("tune_summary", "Whole search, summary", unit="s"),
            Column("mb_full", "Memory, full", unit="MB", decimals=0),
            Column("mb_summary", "Memory, summary", unit="MB", decimals=0),
            Column("pays", "Distilling has paid", "text"),
            *(
                Column(key, label, unit="trainings", decimals=0, shown=False)
                for key, label in (
                    ("break_even", "Break-even"),
                    ("break_even_low", "Break-even, low"),
                    ("break_even_high", "Break-even, high"),
                )
            ),
            Column("timed_in", "Timed in", "text"),
            Column("n", "n", unit="timings", decimals=0),
        ),
        tuple(row for row in rows if row),
        note=" ".join(
            [
                _made(made),
                "It has paid when making it, the search on it and so many trainings take no longer than the search and "
                "as many trainings on the full data; intervals are of repeated timings of one training.",
                "Wall-clock time; memory is what training took beyond what was in use before.",
                *(reuse_sentence(m, one) for one in reused_from(m)),
            ]
        ),
        heading="What it costs",
    )


def paid(m: Measurements, learner: Learner, made: MakingCost) -> Payback:
    """After how many trainings of a learner the summary has paid; unknown where the two sides cannot be compared."""
    full, small = m.of(learner.name, m.full.name), m.of(learner.name, m.summary.name)
    if {r.job for r in full} != {r.job for r in small}:
        return Payback(because="full data and summary were timed in different jobs")
    return payback(made.seconds, _timings(full), _timings(small))


def _row(m: Measurements, learner: Learner, made: MakingCost) -> dict[str, Cell]:
    """The cells of a learner; none where it was not trained on both."""
    full, small = m.of(learner.name, m.full.name), m.of(learner.name, m.summary.name)
    if not all(r.fit_s for r in (*full, *small)) or not full or not small:
        return {}
    on_full, on_summary, pays = _timings(full), _timings(small), paid(m, learner, made)
    return {
        "learner": learner.label,
        **_spread("fit_full", on_full.estimate),
        **_spread("fit_summary", on_summary.estimate),
        **_spread("ratio", ratio(on_full, on_summary)),
        "tune_full": on_full.search,
        "tune_summary": on_summary.search,
        "mb_full": _most(r.peak_mb for r in full),
        "mb_summary": _most(r.peak_mb for r in small),
        **_spread("break_even", Estimate(pays.value, pays.low, pays.high, 0)),
        "pays": pays.words,
        "timed_in": _timed_in({"full data": full, "summary": small}),
        "n": min(len(on_full.fits), len(on_summary.fits)),
    }


def _timings(results: Sequence[TrainedResult]) -> Timings:
    return timings_of([r.fit_s for r in results], [r.tune_s for r in results])


def _spread(key: str, found: Estimate) -> dict[str, Cell]:
    return {key: found.value, f"{key}_low": found.low, f"{key}_high": found.high}


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
                "train_full": _quantity(row, "fit_full", "s"),
                "train_summary": _quantity(row, "fit_summary", "s"),
                "ratio": _quantity(row, "ratio", "ratio"),
                "search_full": {"value": row["tune_full"], "unit": "s"},
                "search_summary": {"value": row["tune_summary"], "unit": "s"},
                "break_even": _quantity(row, "break_even", "trainings") | {"said": row["pays"]},
                "timed_in": row["timed_in"],
                "n": row["n"],
            }
            for row in table.rows
        ],
    }


def _quantity(row: Mapping[str, Cell], key: str, unit: str) -> dict[str, Any]:
    """A value with its interval; what is unknown, and a number of trainings that is never reached, is null."""
    return {"value": row[key], "low": row[f"{key}_low"], "high": row[f"{key}_high"], "unit": unit}


def _timed_in(sides: Mapping[str, Sequence[TrainedResult]]) -> str:
    """Where reused figures were timed, "" when all of them were timed in this job."""
    said = {side: ", ".join(sorted({r.job for r in results} - {""})) for side, results in sides.items()}
    return "; ".join(f"{side}: job {jobs}" for side, jobs in said.items() if jobs)


def _most(values: Iterable[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)
