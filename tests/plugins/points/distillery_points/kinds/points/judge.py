"""Judge summaries of points: train learners on them, on the full data and on random points; test on held-out points."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.choices import with_choices
from worker.contract.context import Context
from worker.contract.learner import and_floors, learners_of
from worker.evidence.measurements import Measurements, Metric, Protocol, Scores, TestSet, TrainingSet
from worker.evidence.training import Contender, Plan, code_hash, train_all
from worker.kinds.points.dataset import TEST, TRAIN, VALIDATION, Points
from worker.kinds.points.summary import PointsSummary

ACCURACY = Metric("accuracy", "accuracy")


class EvaluateParams(BaseModel):
    """How a summary of points is judged."""

    model_config = ConfigDict(extra="forbid")

    learners: list[str] = Field([], min_length=1, description="Models trained on every set.")
    draws: int = Field(3, ge=1, le=20, description="How often random points are drawn.")
    bootstrap: int = Field(1000, ge=100, le=20_000, description="Resamples behind every interval.")
    pause_s: float = Field(0.0, ge=0, le=10, description="Seconds that every training waits, to be interrupted in.")


@cache
def evaluate_params() -> type[EvaluateParams]:
    """`EvaluateParams` with the learners there are."""
    known = learners_of("points")
    return with_choices(EvaluateParams, learners=(known, known))


def judge(data: Points, summaries: Sequence[PointsSummary], params: EvaluateParams, ctx: Context) -> Measurements:
    """Train every learner on every set, and measure on the test points."""
    train, validation, test = (data.part(code) for code in (TRAIN, VALIDATION, TEST))
    sets = contenders(train, summaries, params, ctx)
    known = learners_of("points")

    def correct(model: Any, points: Points) -> Scores:
        return (model.predict(points.at) == points.label).astype(float)

    plan = Plan(
        learners=[known[name] for name in and_floors(params.learners, known)],
        contenders=sets,
        metric=ACCURACY,
        params=params,
        validator=lambda _: lambda model: correct(model, validation),
        measure=lambda model: {"test": {"accuracy": correct(model, test)}},
        digest=lambda points: hashlib.sha256(points.packed()).hexdigest(),
        basis={"metric": "accuracy"},
        code=code_hash(Path(__file__).parent),
        timings=0,
    )
    trained = train_all(plan, ctx)
    ids = np.flatnonzero(data.split == TEST).astype(str)
    names = [one.record.name for one in sets if one.record.role == "summary"]
    return Measurements(
        kind="points",
        unit="point",
        units="points",
        event="coordinates",
        sets=tuple(one.record for one in sets),
        tests=(TestSet("test", "held-out points", "points", len(test), ids),),
        learners=tuple(plan.learners),
        metrics=(ACCURACY,),
        primary="accuracy",
        results=trained.results,
        protocol=protocol(plan, params, ctx),
        origins={name: one.origin for name, one in zip(names, summaries, strict=True)},
        warnings=(*ctx.warnings, *(text for one in summaries for text in one.warnings)),
        unfinished=trained.unfinished,
        bootstrap=params.bootstrap,
        seed=ctx.seed,
    )


def contenders(
    train: Points, summaries: Sequence[PointsSummary], params: EvaluateParams, ctx: Context
) -> list[Contender]:
    """The full data, the summaries, and as many random points as each of them has."""
    found = [contender("full", "full data", "full", [train.for_training()])]
    for number, summary in enumerate(summaries, 1):
        name, label = ("summary", "this summary") if len(summaries) == 1 else (f"summary-{number}", f"summary {number}")
        found.append(contender(name, label, "summary", [summary.points], summary.origin.method))
        drawn = [
            train.take(np.random.default_rng([ctx.seed, draw]).permutation(len(train))[: len(summary.points)])
            for draw in range(params.draws)
        ]
        found.append(contender(f"random-{number}", f"{len(summary.points)} random points", "baseline", drawn))
    return found


def contender(
    name: str, label: str, role: Literal["full", "summary", "baseline"], draws: Sequence[Points], method: str = ""
) -> Contender:
    """A training set: what it is called, how large it is, and what learners are trained on."""
    first = draws[0]
    size = max(len(points.packed()) for points in draws)
    record = TrainingSet(name, label, role, len(first), 2.0 * len(first), size, "npz", method)
    return Contender(record, tuple(draws))


def protocol(plan: Plan, params: EvaluateParams, ctx: Context) -> Protocol:
    """How everything was measured."""
    fields: Mapping[str, Any] = {
        "split": {"content": ctx.content, "name": "random, 60 % train, 20 % validation, 20 % test"},
        "metric": "accuracy",
        "learners": {one.name: one.version for one in plan.learners},
        "tuning": {one.name: list(one.settings) for one in plan.learners},
        "seeds": {"job": ctx.seed, "draws": params.draws},
    }
    text = (
        "Every learner is trained on each set alone; its settings are chosen on the validation points. Accuracy is the "
        "share of test points whose label is predicted; a learner is fed their x and y. Draw d of random points takes "
        "the first of numpy.random.default_rng([seed, d]).permutation(training points)."
    )
    return Protocol(fields, text)
