"""What a kind measures when it judges a summary: plain records, no drawing, no judgement.

A kind fills in `Measurements`; `worker.evidence.report.build` turns them into verdict, tables and plots. All per-unit
arrays of one metric are over the same test units in the same order, which is what makes every comparison paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from worker.evidence.table import Table

Role = Literal["full", "summary", "form", "baseline"]


@dataclass(frozen=True)
class TrainingSet:
    """Something a learner is trained on.

    `role`: `full` and `summary` occur exactly once; `form` is the same summary delivered in another encoding;
    `baseline` is a cheap alternative of equal size. `rows`: units of the kind. `bytes`: size under `encoding`.
    `method`: the registered method that makes this baseline, if any. `equal`: what was made equal to the summary.
    """

    name: str
    label: str
    role: Role
    rows: int
    events: float
    bytes: int
    encoding: str = ""
    method: str = ""
    equal: str = "rows"


@dataclass(frozen=True)
class Metric:
    """A metric. `scale`: factor between the measured value and the one shown (100 for shares shown as points)."""

    name: str
    label: str
    unit: str = "points"
    scale: float = 100.0
    higher_is_better: bool = True


@dataclass(frozen=True)
class Learner:
    """A model trained on every set. `floor`: it is the trivial model that others must beat."""

    name: str
    label: str
    floor: bool = False
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """Validation metric against one hyper-parameter, as tuned. `points`: (value, metric) in increasing value."""

    parameter: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class TrainedResult:
    """One learner trained once on one set, measured on the held-out test units.

    `per_unit`: metric name -> float array (test units,). `pooled`: metrics that have no value per unit (such as a
    pooled AUC). `validation`: the primary metric on validation units at the chosen hyper-parameters. `fit_s`: one
    training at the chosen hyper-parameters; `tune_s`: the whole search, including that training. `peak_mb`: resident
    memory above what was in use before.
    """

    learner: str
    set: str
    seed: int
    per_unit: Mapping[str, np.ndarray]
    pooled: Mapping[str, float] = field(default_factory=dict)
    chosen: Mapping[str, Any] = field(default_factory=dict)
    curve: Curve | None = None
    validation: float | None = None
    fit_s: float = 0.0
    tune_s: float = 0.0
    predict_s: float = 0.0
    peak_mb: float | None = None


@dataclass(frozen=True)
class Series:
    """One line, group of bars or histogram. `x`: numbers or labels; for a histogram the bin edges (one more).

    `low`, `high`: ends of the 95 % interval of every y, or empty. `stress`: labels in `x` to draw with emphasis.
    """

    label: str
    x: tuple[float | str, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    stress: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plot:
    """A plot as data; `worker.evidence.plots` draws it. `description`: one sentence for who cannot see it.

    `kind`: `line`, `bar` (upright, grouped by series), `histogram` (outlines), or `interval` (lying bars with
    whiskers, one group per series). `mark_x`: where to draw a reference line, or None. `n`: over how many units.
    """

    name: str
    title: str
    description: str
    kind: Literal["line", "bar", "histogram", "interval"]
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False
    mark_x: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class PrivacyRow:
    """How near the summary's records lie to real training records. `value` has `unit` and is over `n` records."""

    label: str
    value: float
    unit: str
    n: int
    note: str = ""


@dataclass(frozen=True)
class DistilCost:
    """What making the summary took: wall-clock seconds and peak resident memory (MB), None where unknown."""

    seconds: float | None = None
    peak_mb: float | None = None


@dataclass(frozen=True)
class Measurements:
    """Everything measured about one summary.

    `unit`, `units`: what a row of the kind is called ("user", "users"); `test_unit`: what the bootstrap resamples.
    `primary`: name of the metric the verdict speaks of. `optimised_for`: learner the summary was made for, or "".
    `made_by`: the method that made it, where the job names another (such as `auto`).
    Raises ValueError when the records do not fit together.
    """

    kind: str
    unit: str
    units: str
    test_units: str
    event: str
    sets: tuple[TrainingSet, ...]
    learners: tuple[Learner, ...]
    metrics: tuple[Metric, ...]
    primary: str
    results: tuple[TrainedResult, ...]
    optimised_for: str = ""
    made_by: str = ""
    protocol: str = ""
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()
    privacy: tuple[PrivacyRow, ...] = ()
    warnings: tuple[str, ...] = ()
    distilling: DistilCost = DistilCost()
    bootstrap: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for role in ("full", "summary"):
            if sum(s.role == role for s in self.sets) != 1:
                raise ValueError(f"exactly one set has the role {role!r}")
        if not any(m.name == self.primary for m in self.metrics):
            raise ValueError(f"the primary metric {self.primary!r} is not among the metrics")
        _names_are_known(self)
        _units_are_aligned(self)

    @property
    def full(self) -> TrainingSet:
        """The full training data."""
        return next(s for s in self.sets if s.role == "full")

    @property
    def summary(self) -> TrainingSet:
        """The delivered summary in its primary form."""
        return next(s for s in self.sets if s.role == "summary")

    @property
    def metric(self) -> Metric:
        """The primary metric."""
        return next(m for m in self.metrics if m.name == self.primary)

    @property
    def n_test(self) -> int:
        """Number of test units."""
        for result in self.results:
            for values in result.per_unit.values():
                return len(values)
        return 0

    def learner(self, name: str) -> Learner:
        """The learner of that name."""
        return next(learner for learner in self.learners if learner.name == name)

    def of(self, learner: str, set_name: str) -> tuple[TrainedResult, ...]:
        """The results of one learner on one set, in order of seed."""
        found = [r for r in self.results if r.learner == learner and r.set == set_name]
        return tuple(sorted(found, key=lambda r: r.seed))


def _names_are_known(m: Measurements) -> None:
    sets, learners = {s.name for s in m.sets}, {learner.name for learner in m.learners}
    if len(sets) != len(m.sets) or len(learners) != len(m.learners):
        raise ValueError("two sets or two learners share a name")
    seen: set[tuple[str, str, int]] = set()
    for r in m.results:
        if r.set not in sets or r.learner not in learners:
            raise ValueError(f"the result of {r.learner!r} on {r.set!r} belongs to no declared learner and set")
        if (r.learner, r.set, r.seed) in seen:
            raise ValueError(f"two results of {r.learner!r} on {r.set!r} share seed {r.seed}")
        seen.add((r.learner, r.set, r.seed))


def _units_are_aligned(m: Measurements) -> None:
    lengths = {len(values) for r in m.results for values in r.per_unit.values()}
    if len(lengths) > 1:
        raise ValueError(f"per-unit metrics are over different numbers of test units: {sorted(lengths)}")
    for r in m.results:
        for name, values in r.per_unit.items():
            if not np.all(np.isfinite(values)):
                raise ValueError(f"{name} of {r.learner!r} on {r.set!r} is not finite on every test unit")
