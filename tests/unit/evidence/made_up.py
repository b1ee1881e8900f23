"""Measurements made up for the tests, with the figures a test wants to see judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from worker.contract.learner import Learner
from worker.contract.product import Origin
from worker.evidence.comparison import Comparison
from worker.evidence.conclude import conclude
from worker.evidence.measurements import (
    Measurements,
    Metric,
    PrivacyRow,
    Protocol,
    TestSet,
    TrainedResult,
    TrainingSet,
    Tried,
)
from worker.evidence.plot import Plot, Series
from worker.evidence.report import document
from worker.evidence.summary_verdict import judge
from worker.evidence.verdict import Verdict

JOB = {
    "id": "job_01",
    "method": "distill-cf",
    "method_version": 1,
    "kind": "interactions",
    "task": "distil",
    "dataset": "ds_01@1",
    "params": {"budget": 500, "init": "it's"},
    "seed": 7,
    "evaluate": {"k": [10]},
    "input_hash": "sha256:ab",
    "environment": {"python": "3.11"},
    "cost": {"seconds": 95.0, "peak_mb": 1350.0},
}
SETS = (
    TrainingSet("full", "full data", "full", 1000, 20_000, 44_000),
    TrainingSet("summary", "this summary", "summary", 50, 2_000, 9_000),
    TrainingSet("random-users", "random users", "baseline", 50, 1_000, 2_200, method="random-users"),
    TrainingSet("head-users", "head users", "baseline", 50, 4_000, 8_200, method="head-users"),
)
LEARNERS = (Learner("popularity", "popularity", floor=True), Learner("ease", "EASE"), Learner("ae", "∞-AE"))
LEVELS = {
    "popularity": {"full": 0.15, "summary": 0.14, "random-users": 0.13, "head-users": 0.12},
    "ease": {"full": 0.34, "summary": 0.30, "random-users": 0.25, "head-users": 0.20},
    "ae": {"full": 0.33, "summary": 0.32, "random-users": 0.27, "head-users": 0.21},
}
PROTOCOL = Protocol(
    {"split": "by user", "metric": "ndcg@10", "learners": ["ease", "ae"], "tuning": "grid", "seeds": [0]},
    "nDCG@10 is over all items; a learner is fed what a user did before.",
)
ORIGIN = Origin("distill-cf", optimised_for="ae")
GRID = (1.0, 5.0, 20.0)
VALIDATION_USERS = 60


def per_user(level: float, users: int, *, noise: float = 0.03, seed: int = 0) -> np.ndarray:
    """A metric over users around a level: users differ much, in the same way for every set."""
    shared = np.random.default_rng(99).normal(0, 0.1, users)
    own = np.random.default_rng([seed, round(1e6 * level)]).normal(0, noise, users)
    return level + shared - shared.mean() + own - own.mean()


def tried(level: float) -> tuple[Tried, ...]:
    """A search over lambda with its best at 5, on the same validation users for every set."""
    return tuple(
        Tried({"lambda": value}, per_user(part * level, VALIDATION_USERS))
        for value, part in zip(GRID, (0.7, 1.0, 0.9), strict=True)
    )


def result(learner: str, set_name: str, scores: Any, *, draw: int = 0, seed: int = 0, **changes: Any) -> TrainedResult:
    """A result with one metric on one test set."""
    return TrainedResult(learner, set_name, draw, seed, {"test": {"ndcg@10": scores}}, **changes)


def measurements(
    levels: dict[str, dict[str, float]] = LEVELS,
    *,
    users: int = 2000,
    noise: float = 0.03,
    origin: Origin = ORIGIN,
    **changes: Any,
) -> Measurements:
    """Measurements whose means are exactly `levels`."""
    results = [
        TrainedResult(
            learner,
            name,
            scores={"test": {"ndcg@10": per_user(level, users, noise=noise), "coverage": 0.9}},
            tried=() if learner == "popularity" else tried(level),
            chosen={} if learner == "popularity" else {"lambda": 5.0},
            validation=level,
            fit_s=(12.0, 12.1, 11.9) if name == "full" else (0.5, 0.51, 0.49),
            tune_s=40.0,
            peak_mb=100.0,
        )
        for learner, sets in levels.items()
        for name, level in sets.items()
    ]
    plot = Plot(
        "loss", "Loss", "The loss falls.", "line", "step", "loss", (Series("loss", (1.0, 2.0, 3.0), (3.0, 2.0, 1.0)),)
    )
    made = Measurements(
        kind="interactions",
        unit="user",
        units="users",
        event="events",
        sets=SETS,
        tests=(TestSet("test", "test users", "users", users),),
        learners=LEARNERS,
        metrics=(Metric("ndcg@10", "nDCG@10"), Metric("coverage", "coverage")),
        primary="ndcg@10",
        results=tuple(results),
        protocol=PROTOCOL,
        origins={"summary": origin},
        plots=(plot,),
        privacy=(PrivacyRow("Nearest real row", 0.4, "cosine", 50),),
        warnings=("One warning.",),
        bootstrap=300,
    )
    return replace(made, **changes)


def changed(name: str, **changes: Any) -> tuple[TrainingSet, ...]:
    """The sets with fields of one of them changed."""
    return tuple(replace(one, **changes) if one.name == name else one for one in SETS)


def with_level(learner: str, name: str, level: float) -> dict[str, dict[str, float]]:
    """The levels with one of them changed."""
    return LEVELS | {learner: LEVELS[learner] | {name: level}}


def judged(m: Measurements) -> Verdict:
    return judge(Comparison(m), m.summary)[1]


def told(m: Measurements) -> dict[str, Any]:
    """The JSON of the report."""
    return document(conclude(m, JOB), JOB)


def with_results(m: Measurements, *results: TrainedResult) -> Measurements:
    """The measurements with some results in place of those of the same learner and set."""
    replaced = {(r.learner, r.set) for r in results}
    kept = [r for r in m.results if (r.learner, r.set) not in replaced]
    return replace(m, results=(*kept, *results))
