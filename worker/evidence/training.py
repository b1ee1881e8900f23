"""Train learners on training sets and measure them, in a way that survives.

Every (learner, set, draw, seed) is a part of the work with its scores as resume point: a judge that is killed goes on
at the part where it was, and one whose time is over ends with what was measured. What is needed most comes first: the
full data and the summary, then cheap alternatives, then further forms of the summary. Scores are remembered under a key
of everything that they depend on, so that a later job on the same content trains no learner on the full data again.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from worker.contract.context import Context, seed_of
from worker.contract.errors import JobError, TimeOver
from worker.contract.learner import Learner, Settings, Trainable
from worker.evidence.measurements import Metric, Scores, TrainedResult, TrainingSet, Tried
from worker.evidence.meter import measured
from worker.evidence.packing import pack, unpack
from worker.evidence.statistics import value_of
from worker.evidence.timings import NEEDED

Measure = Callable[[Any], Mapping[str, Mapping[str, Scores]]]
"""A trained model to its scores: test set -> metric -> scores."""
Validate = Callable[[Any], Scores]
"""A trained model to the primary metric on validation data."""

# Timing one training again takes few seconds, or else is done as seldom as will do, within a part of the search.
_AGAIN_S, _AGAIN_SHARE = 5.0, 0.5
_FIGURES = 2  # raised when remembered figures would lack something
_FIRST = {"full": 0, "summary": 0, "baseline": 1, "form": 2, "bound": 3}


@dataclass(frozen=True)
class Contender:
    """A training set and what a learner is trained on, one entry a draw (random picks have several).

    `learners`: those that can be trained on it, all where there are none named.
    """

    record: TrainingSet
    draws: tuple[Any, ...]
    learners: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What to train and how to measure it.

    `validator(trainable)`: how models of it are validated, None without validation data: then the middle one of a
    learner's settings is taken. `measure`: how models are tested. `params`: the kind's `evaluate` params, which
    learners see. `digest(rows)`: a hash of what is trained on. `basis`: JSON of everything else that one figure depends
    on (the metric tuned for, what is validated and tested on), and `code`: a hash of the code that does it. `timings`:
    how often one training is timed again on the full data and on a summary, whose costs are compared.
    """

    learners: Sequence[Learner]
    contenders: Sequence[Contender]
    metric: Metric
    params: Any
    validator: Callable[[Trainable], Validate] | None
    measure: Measure
    digest: Callable[[Any], str]
    basis: Mapping[str, Any]
    code: str
    timings: int = 4


@dataclass(frozen=True)
class Trained:
    """The results, and why there are not more of them ("" when all were measured)."""

    results: tuple[TrainedResult, ...]
    unfinished: str = ""


@dataclass(frozen=True)
class _Step:
    learner: Learner
    contender: Contender
    draw: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.learner.name} {self.contender.record.name} {self.draw} {self.seed}"


def train_all(plan: Plan, ctx: Context) -> Trained:
    """Train every learner on every draw of every set, as often as it has seeds, until the time for judging is over.

    Raises `TimeOver` when not even one training was measured.
    """
    steps = sorted(_steps(plan), key=lambda step: _FIRST[step.contender.record.role])
    results: list[TrainedResult] = []
    for learner in plan.learners if plan.validator is None else ():
        if len(learner.settings) > 1:
            ctx.warn(f"There is no validation data: {learner.label} was trained at a default, not at tuned settings.")
    for number, step in enumerate(steps):
        label = f"judge: {step.learner.label} on {step.contender.record.label}"
        try:
            # Learners draw the same numbers on every set: what differs is then the set's doing.
            seed = ctx.seed if step.seed == 0 else seed_of(ctx.seed, f"learner seed {step.seed}")
            with ctx.part(step.name, number, len(steps), label=label, seed=seed) as part:
                result = _one(plan, step, part)
        except TimeOver:
            if not results:
                raise
            return Trained(
                tuple(results), f"judging ended with its time limit after {number} of {len(steps)} trainings"
            )
        if result is not None:
            results.append(result)
    return Trained(tuple(results))


def code_hash(*folders: Path) -> str:
    """A hash of the Python files of some folders, so that changed code never meets figures of the old one."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _steps(plan: Plan) -> Iterator[_Step]:
    for learner in plan.learners:
        for contender in plan.contenders:
            if contender.learners and learner.name not in contender.learners:
                continue
            for draw in range(len(contender.draws)):
                for seed in range(learner.seeds):
                    yield _Step(learner, contender, draw, seed)


def _one(plan: Plan, step: _Step, ctx: Context) -> TrainedResult | None:
    """The result of a step: of an earlier attempt or job, or trained now; None when it cannot be trained."""
    key = _key(plan, step, ctx)
    if (point := ctx.restore()) is not None and point.done and point.state["key"] == key:
        if "diverged" in point.state:
            ctx.warn(point.state["diverged"])
            return None
        return unpack(point.arrays, point.state, point.state["job"])
    if (known := ctx.recall(key)) is not None:
        earlier = unpack(known.arrays, known.state, known.job)
        result = replace(earlier, set=step.contender.record.name, draw=step.draw, seed=step.seed)
    else:
        try:
            result = _train(plan, step, ctx)
        except JobError as failure:
            if failure.code != "diverged":
                raise
            trained = step.contender.record
            named = f"the summary {trained.label}" if trained.role == "form" else trained.label  # "as hard rows"
            reason = f"{step.learner.label} could not be trained on {named}: {failure.detail}"
            ctx.warn(reason)
            ctx.finish({}, {"key": key, "diverged": reason})
            return None
    arrays, state = pack(result)
    ctx.finish(arrays, state | {"key": key, "job": result.job})
    if known is None:
        ctx.remember(key, arrays, state)
    return result


def _key(plan: Plan, step: _Step, ctx: Context) -> str:
    """A hash of all that a result depends on."""
    learner = step.learner
    parts = [
        _FIGURES, plan.code, ctx.content, dict(plan.basis), learner.name, learner.version, ctx.seed, ctx.device,
        [dict(settings) for settings in learner.settings], plan.digest(step.contender.draws[step.draw]),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _train(plan: Plan, step: _Step, ctx: Context) -> TrainedResult:
    learner = step.learner
    if learner.prepare is None:
        raise ValueError(f"the learner {learner.name} cannot be trained")
    with measured() as usage:
        started = time.perf_counter()
        trainable = learner.prepare(step.contender.draws[step.draw], plan.params, ctx)
        shared_s = time.perf_counter() - started
        best = _tune(plan, learner, trainable, shared_s, ctx)
    with measured() as testing:
        scores = plan.measure(best.model)
    return TrainedResult(
        learner=learner.name,
        set=step.contender.record.name,
        draw=step.draw,
        seed=step.seed,
        scores=scores,
        tried=tuple(best.tried),
        chosen=best.settings,
        validation=best.validation,
        fit_s=(best.fit_s, *_timed_again(plan, step, best, usage.seconds, ctx)),
        tune_s=usage.seconds,
        predict_s=testing.seconds,
        peak_mb=usage.peak_mb,
    )


def _timed_again(plan: Plan, step: _Step, best: _Best, search_s: float, ctx: Context) -> Iterator[float]:
    """Seconds of further trainings from the start at the chosen settings, where costs are compared."""
    if step.contender.record.role not in ("full", "summary") or step.draw or step.seed or step.learner.prepare is None:
        return
    again = plan.timings if plan.timings * best.fit_s <= _AGAIN_S else min(plan.timings, NEEDED - 1)
    if again * best.fit_s > max(_AGAIN_S, _AGAIN_SHARE * search_s):
        return
    for number in range(again):
        try:
            ctx.progress(number, again, phase="timing")
            started = time.perf_counter()
            step.learner.prepare(step.contender.draws[step.draw], plan.params, ctx).fit(best.settings, ctx)
        except TimeOver:
            return  # what was measured until then counts
        yield time.perf_counter() - started


@dataclass(frozen=True)
class _Best:
    model: Any
    settings: Settings
    validation: float | None
    fit_s: float
    tried: list[Tried]


def _tune(plan: Plan, learner: Learner, trainable: Trainable, shared_s: float, ctx: Context) -> _Best:
    """Fit at every setting and keep the one that is best on validation data; equal ones go to the earlier.

    A setting at which the learner diverges is left out; without validation data the middle one is taken. A model that
    goes on from an earlier one of the search says in `trained_s` how long it was trained in all.
    """
    if plan.validator is None:
        started = time.perf_counter()
        settings = learner.settings[len(learner.settings) // 2]
        model = trainable.fit(settings, ctx)
        return _Best(model, settings, None, shared_s + time.perf_counter() - started, [])
    validate = plan.validator(trainable)
    sign = 1.0 if plan.metric.higher_is_better else -1.0
    best: _Best | None = None
    tried: list[Tried] = []
    worths: list[tuple[Settings, float]] = []
    for settings in _settings(learner, worths):
        ctx.progress(len(worths), len(learner.settings) + 1)
        started = time.perf_counter()
        try:
            model = trainable.fit(settings, ctx)
            fit_s = shared_s + max(time.perf_counter() - started, getattr(model, "trained_s", 0.0))
            score = validate(model)
            value = _finite(value_of(score))
        except JobError as failure:
            if failure.code != "diverged":
                raise
            worths.append((settings, -math.inf))
            continue
        if sign * value > max((worth for _, worth in worths), default=-math.inf):
            best = _Best(model, settings, value, fit_s, tried)
        tried.append(Tried(settings, score))
        worths.append((settings, sign * value))
    if best is None:
        raise JobError(
            "diverged",
            f"{learner.label} could be fitted at none of its settings.",
            hint="Leave this learner out, or give it more rows.",
        )
    return best


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise JobError("diverged", "The learner's validation metric is not a number.")
    return value


def _settings(learner: Learner, worths: Sequence[tuple[Settings, float]]) -> Iterator[Settings]:
    """The learner's own settings, then what it wants to try beyond them, given what was found until then."""
    yield from learner.settings
    while learner.further is not None and (more := learner.further(worths)) is not None:
        yield more
