"""What a kind measures when it judges a summary: plain records, no drawing, no judgement.

A kind fills in `Measurements`; `worker.evidence.report.build` turns them into verdict, tables and plots. All scores on
one test set are over the same units in the same order, which is what makes every comparison paired.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from worker.contract.learner import Learner, Settings
from worker.contract.product import Origin
from worker.evidence.plot import Picture, Plot
from worker.evidence.table import Table

Role = Literal["full", "summary", "form", "baseline", "bound"]
Statistic = Literal["auc", "macro_f1", "balanced_accuracy"]


@dataclass(frozen=True)
class TrainingSet:
    """Something a learner is trained on.

    `role`: `full` occurs exactly once, `summary` at least once; `form` is a summary delivered in another encoding
    (`of`: the name of its summary); `baseline` is a cheap alternative; `bound` is measured beside them and decides
    nothing. `rows`: units of the kind. `bytes`: what a user
    downloads, or would, under `encoding`; `compressed`: the same after lossless compression, None where unknown.
    `method`: the registered method that makes this baseline, if any. `equal`: what was made equal to the summary's.
    `mark`: what was looked at in making it that not every set may look at, to go on after "it" ("was made with features
    of held-out nodes"); sets of different marks are no like for like.
    """

    name: str
    label: str
    role: Role
    rows: int
    events: float
    bytes: int
    encoding: str = ""
    method: str = ""
    equal: Literal["rows", "bytes", "events"] = "rows"
    compressed: int | None = None
    of: str = ""
    mark: str = ""


@dataclass(frozen=True)
class TestSet:
    """What is measured on. `units`: what the bootstrap resamples, by name ("users"); `ids`: text array (n,)."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    name: str
    label: str
    units: str
    n: int
    ids: np.ndarray | None = None


@dataclass(frozen=True)
class Metric:
    """A metric. `scale`: factor between the measured value and the one shown (100 for shares shown as points)."""

    name: str
    label: str
    unit: str = "points"
    scale: float = 100.0
    higher_is_better: bool = True


@dataclass(frozen=True)
class Ratio:
    """A metric that is a sum over a sum, such as bits per byte: numerator and denominator of every unit, (n,) each.

    `exponential`: it is e to that power, as perplexity is of nats per token.
    """

    numerator: np.ndarray
    denominator: np.ndarray
    exponential: bool = False


@dataclass(frozen=True)
class Pooled:
    """A metric that exists only over all units together, with what every unit contributes, (n,) each.

    `auc`: `label` (0 or 1) and `score`; `macro_f1`, `balanced_accuracy`: integer codes `label` and `predicted`.
    """

    statistic: Statistic
    columns: Mapping[str, np.ndarray]


Scores = np.ndarray | Ratio | Pooled | float
"""Per-unit values (n,), or one of the above; a bare number is a value of which no interval can be had."""


@dataclass(frozen=True)
class Tried:
    """One configuration that tuning tried: its settings, and the primary metric on validation data.

    Over the same validation units for every learner, set and configuration.
    """

    settings: Settings
    validation: Scores


@dataclass(frozen=True)
class TrainedResult:
    """One learner trained once on one draw of one set, measured on held-out units.

    `draw`: number of the draw of the training set (random picks have several); `seed`: number of the learner's seed.
    `scores`: test set -> metric -> scores. `tried`: every configuration of the search, `chosen` the settings taken and
    `validation` their primary metric on validation data. `fit_s`: one training at the chosen settings, every time it
    was timed; `tune_s`: the whole search, one such training included. `peak_mb`: resident memory above what was in use
    before. `job`: the earlier job that these figures were computed in, "" for this one.
    """

    learner: str
    set: str
    draw: int = 0
    seed: int = 0
    scores: Mapping[str, Mapping[str, Scores]] = field(default_factory=dict[str, Mapping[str, Scores]])
    tried: tuple[Tried, ...] = ()
    chosen: Settings = field(default_factory=dict[str, Any])
    validation: float | None = None
    fit_s: tuple[float, ...] = ()
    tune_s: float = 0.0
    predict_s: float = 0.0
    peak_mb: float | None = None
    job: str = ""


@dataclass(frozen=True)
class Protocol:
    """How everything was measured. Figures of different protocols never share a table.

    `fields`: JSON with at least `split`, `metric`, `learners`, `tuning` and `seeds`; equal fields, equal hash. `text`:
    a paragraph that defines each metric and says what a learner is fed at test time.
    """

    fields: Mapping[str, Any]
    text: str = ""

    def __post_init__(self) -> None:
        missing = {"split", "metric", "learners", "tuning", "seeds"} - self.fields.keys()
        if missing:
            raise ValueError(f"the protocol lacks {', '.join(sorted(missing))}")

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.fields, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class PrivacyRow:
    """How near the summary's records lie to real ones, or what an attack finds out. `low`, `high`: its interval."""

    label: str
    value: float
    unit: str
    n: int
    note: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class MakingCost:
    """What making the summary took: wall-clock seconds and peak resident memory (MB), None where unknown."""

    seconds: float | None = None
    peak_mb: float | None = None


@dataclass(frozen=True)
class Measurements:
    """Everything measured about one summary, or about several of one dataset.

    `unit`, `units`: what a row of the kind is called ("user", "users"); `event`: what rows are made of. `tests`: the
    first one is what the verdict speaks of. `primary`: name of the metric it speaks of; `guard`: of one whose share of
    the full data it must not hide where that is clearly smaller, "" for none. Results may hold further scores that are
    not among `metrics`, for the kind's own plots. `origins`: by the name of a
    summary's set, where that summary comes from. `unfinished`: why judging ended early, "" when it did not. `arrays`:
    more for `measurements.npz`, such as the seed of every draw. Raises ValueError when the records do not fit together.
    """

    kind: str
    unit: str
    units: str
    event: str
    sets: tuple[TrainingSet, ...]
    tests: tuple[TestSet, ...]
    learners: tuple[Learner, ...]
    metrics: tuple[Metric, ...]
    primary: str
    results: tuple[TrainedResult, ...]
    protocol: Protocol
    origins: Mapping[str, Origin] = field(default_factory=dict[str, Origin])
    plots: tuple[Plot, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    privacy: tuple[PrivacyRow, ...] = ()
    warnings: tuple[str, ...] = ()
    making: MakingCost = MakingCost()
    unfinished: str = ""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    bootstrap: int = 1000
    seed: int = 0
    guard: str = ""

    def __post_init__(self) -> None:
        if sum(s.role == "full" for s in self.sets) != 1:
            raise ValueError("exactly one set has the role 'full'")
        if not any(s.role == "summary" for s in self.sets):
            raise ValueError("no set has the role 'summary'")
        if not any(m.name == self.primary for m in self.metrics):
            raise ValueError(f"the primary metric {self.primary!r} is not among the metrics")
        if self.guard and not any(m.name == self.guard for m in self.metrics):
            raise ValueError(f"the guard {self.guard!r} is not among the metrics")
        if not self.tests:
            raise ValueError("there is no test set")
        _check_names(self)
        _check_units(self)

    @property
    def full(self) -> TrainingSet:
        """The full training data."""
        return next(s for s in self.sets if s.role == "full")

    @property
    def summaries(self) -> tuple[TrainingSet, ...]:
        """The delivered summaries, each in its primary form."""
        return tuple(s for s in self.sets if s.role == "summary")

    @property
    def summary(self) -> TrainingSet:
        """The first summary: the one the verdict speaks of."""
        return self.summaries[0]

    @property
    def origin(self) -> Origin:
        """Where the first summary comes from."""
        return self.origins.get(self.summary.name, Origin())

    @property
    def metric(self) -> Metric:
        """The primary metric."""
        return next(m for m in self.metrics if m.name == self.primary)

    @property
    def test(self) -> TestSet:
        """The primary test set."""
        return self.tests[0]

    def learner(self, name: str) -> Learner:
        """The learner of that name."""
        return next(learner for learner in self.learners if learner.name == name)

    def of(self, learner: str, set_name: str) -> tuple[TrainedResult, ...]:
        """The results of one learner on one set, in order of draw and seed."""
        found = [r for r in self.results if r.learner == learner and r.set == set_name]
        return tuple(sorted(found, key=lambda r: (r.draw, r.seed)))


def _check_names(m: Measurements) -> None:
    sets, learners, tests = {s.name for s in m.sets}, {one.name for one in m.learners}, {t.name for t in m.tests}
    if len(sets) != len(m.sets) or len(learners) != len(m.learners) or len(tests) != len(m.tests):
        raise ValueError("two sets, two learners or two test sets share a name")
    seen: set[tuple[str, str, int, int]] = set()
    for r in m.results:
        if r.set not in sets or r.learner not in learners or not r.scores.keys() <= tests:
            raise ValueError(f"the result of {r.learner!r} on {r.set!r} belongs to no declared learner, set or test")
        if (key := (r.learner, r.set, r.draw, r.seed)) in seen:
            raise ValueError(f"two results of {r.learner!r} on {r.set!r} share draw {r.draw} and seed {r.seed}")
        if r.draw < 0 or r.seed < 0:
            raise ValueError(f"draw or seed of the result of {r.learner!r} on {r.set!r} is negative")
        seen.add(key)


def _check_units(m: Measurements) -> None:
    for r in m.results:
        for test in m.tests:
            for metric, scores in r.scores.get(test.name, {}).items():
                for column in columns_of(scores).values():
                    if column.shape != (test.n,):
                        raise ValueError(f"{metric} of {r.learner!r} on {r.set!r} is not over the {test.n} test units")
                    if not np.all(np.isfinite(column)):
                        raise ValueError(f"{metric} of {r.learner!r} on {r.set!r} is not finite on every test unit")
    shapes = {column.shape for r in m.results for one in r.tried for column in columns_of(one.validation).values()}
    if len(shapes) > 1:
        raise ValueError("the configurations that tuning tried are not all measured on the same validation units")


def columns_of(scores: Scores) -> dict[str, np.ndarray]:
    """The per-unit arrays (n,) that scores consist of, by name; none for a bare number."""
    match scores:
        case Ratio():
            return {"numerator": scores.numerator, "denominator": scores.denominator}
        case Pooled():
            return dict(scores.columns)
        case np.ndarray():
            return {"": scores}
        case _:
            return {}
