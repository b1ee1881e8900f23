"""Choosing a learner's one hyper-parameter on validation users, and only there.

The curve of the validation metric over the ridge has one hill in practice: climbing it from the best of a coarse pass
finds the same value as the whole grid at about half the cost. When the best value is an end of the grid the grid goes
on, because a learner that is cut off there is an under-tuned one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from scipy import sparse
from torch import Tensor

from worker.kinds.interactions.dataset import Queries
from worker.kinds.interactions.learners.ease import EaseGram
from worker.kinds.interactions.learners.infinite_ae import MAX_USERS, InfiniteAE
from worker.kinds.interactions.learners.popularity import Popularity
from worker.kinds.interactions.metrics import Model, evaluate
from worker.numerics.ridge import NotPositiveDefinite
from worker.contract.context import Context
from worker.contract.errors import JobError

LEARNERS = ("popularity", "ease", "infinite-ae")
# For many rows and for few, which need less ridge.
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "ease": {
        "many": (1, 20, 100, 200, 500, 1000, 2000),
        "few": (0.01, 0.1, 0.5, 1, 5, 20, 50, 100, 200, 500, 1000, 2000),
    },
    "infinite-ae": {
        "many": (0.1, 0.5, 1, 2, 3, 5, 8, 10, 15, 20, 50),
        "few": (1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 50),
    },
}
OFFICIAL_GRID = (0.0, 1.0, 5.0, 20.0, 50.0, 100.0)  # the published ∞-AE's, for full data
FEW_EVENTS = 500
_STRIDE = 3
_BEYOND = 3
_LEAST = 1e-5
_AFTER_COARSE = 4  # values that a climb goes on to try, roughly: only for the progress shown
_CROSS_BYTES = 400 * 10**6


@dataclass(frozen=True)
class Tuned:
    """A fitted learner: what was chosen, and `curve` with {value, metric, fit_s} for every value that could be
    fitted, in increasing order.

    `fit_s`: seconds of one training at that value alone, what it shares with the others included; `search_s`:
    seconds of everything, scoring the validation users included.
    """

    model: Model
    chosen: dict[str, Any]
    curve: list[dict[str, float]]
    fit_s: float
    search_s: float


def fit_tuned(
    learner_name: str,
    rows: sparse.csr_array,
    validation: Queries,
    *,
    metric: str = "ndcg@10",
    grid: Sequence[float] | None = None,
    few: bool = False,
    max_users: int = MAX_USERS,
    nystrom: bool = False,
    depth: int = 1,
    ctx: Context | None = None,
) -> Tuned:
    """Fit `popularity`, `ease` or `infinite-ae` to rows (n, I) at the value that is best on validation.

    `metric`: `ndcg@10`, or `hr@100` as in the paper, or any other of `metrics.evaluate`. With `grid` exactly its
    values are tried; without, a climb over the default grid, for many rows or for `few`, which need less ridge.
    Without validation targets the middle of the grid is taken. Equal metrics go to the value tried earlier; one at
    which the kernel is singular is left out. Past the time limit the best so far is kept, with a warning. Raises
    `JobError` `diverged` when no value could be fitted.
    """
    ctx = ctx or Context()
    validation = validation.with_targets()
    if learner_name == "popularity":
        return _popularity(rows)
    if learner_name not in LEARNERS:
        raise JobError("invalid_input", f"There is no learner {learner_name!r}.", hint=f"Learners: {LEARNERS}.")
    values = tuple(grid or GRIDS[learner_name]["few" if few else "many"])
    if len(validation) == 0:
        ctx.warn(f"There are no validation events: {learner_name} was fitted at a default, not a tuned, ridge.")
        grid = values = (values[len(values) // 2],)
    elif validation.targets.nnz < FEW_EVENTS:
        ctx.warn(f"Only {validation.targets.nnz} validation events: the choice of a ridge is unreliable.")
    ctx.progress(0, 1, phase=f"tuning {learner_name}")
    if learner_name == "ease":
        search = _Search.on(lambda: EaseGram.of(rows, ctx.device), validation, metric)
    else:
        learner = InfiniteAE(depth=depth, max_users=max_users, nystrom=nystrom, seed=ctx.seed, device=ctx.device)
        search = _Search.on(lambda: learner.prepare(rows), validation, metric)
    if grid:
        _run(search, iter(values), len(values), learner_name, ctx)
    else:
        _run(search, _climb(search, list(values)), len(_coarse(values)) + _AFTER_COARSE, learner_name, ctx)
    return _tuned(search, learner_name)


def _popularity(rows: sparse.csr_array) -> Tuned:
    started = time.perf_counter()
    model = Popularity().fit(rows)
    seconds = time.perf_counter() - started
    return Tuned(model, {}, [], seconds, seconds)


class _Training(Protocol):
    """What the trainings of a search share; `fit` and `cross` as in `EaseGram`."""

    def fit(self, value: float, /) -> Any: ...

    def cross(self, inputs: sparse.csr_array, most_bytes: int, /) -> Tensor | None: ...


@dataclass(frozen=True)
class _Fitted:
    value: float
    metric: float
    model: Model
    fit_s: float


@dataclass
class _Search:
    """Values tried so far. `cross`: what scores of the validation users need of any model, computed once."""

    training: _Training
    shared_s: float
    validation: Queries
    metric: str
    cross: Tensor | None
    started: float
    curve: list[dict[str, float]] = field(default_factory=list)
    tried: set[float] = field(default_factory=set)
    best: _Fitted | None = None

    @classmethod
    def on(cls, prepare: Callable[[], _Training], validation: Queries, metric: str) -> _Search:
        started = time.perf_counter()
        training = prepare()
        shared_s = time.perf_counter() - started
        cross = training.cross(validation.inputs, _CROSS_BYTES) if len(validation) else None
        return cls(training, shared_s, validation, metric, cross, started)

    def attempt(self, value: float) -> dict[str, float]:
        """Fit and measure at a value; what was measured, nothing at a value too small for the kernel."""
        self.tried.add(value)
        started = time.perf_counter()
        try:
            model = self.training.fit(value)
        except NotPositiveDefinite:
            return {}
        fit_s = self.shared_s + time.perf_counter() - started
        fitted = _Fitted(value, self._measure(model), model, fit_s)
        self.curve.append({"value": value, "metric": fitted.metric, "fit_s": fitted.fit_s})
        if self.best is None or fitted.metric > self.best.metric:
            self.best = fitted
        return {self.metric: fitted.metric}

    def _measure(self, model: Any) -> float:
        if len(self.validation) == 0:
            return float("nan")
        score = model.scores if self.cross is None else _scores_from(model, self.cross)
        ranked = "@" in self.metric
        ks = (int(self.metric.rpartition("@")[2]),) if ranked else (10,)
        counts = np.asarray(self.validation.inputs.sum(axis=0)).ravel()
        return float(np.nanmean(evaluate(score, self.validation, counts, ks, auc=not ranked)[self.metric]))


def _scores_from(model: Any, cross: Tensor) -> Callable[[sparse.csr_array], np.ndarray]:
    """Scores of the users whose rows `cross` has, asked for as `evaluate` does: in blocks, in order, each once."""
    done = 0

    def scores(inputs: sparse.csr_array) -> np.ndarray:
        nonlocal done
        part = cross[done : done + inputs.shape[0]]
        done += inputs.shape[0]
        return model.scores(inputs, part)

    return scores


def _run(search: _Search, values: Iterator[float], expected: int, name: str, ctx: Context) -> None:
    """Try value after value until the time is up. `expected`: about how many there are."""
    for value in values:
        if search.curve and ctx.out_of_time():
            ctx.warn(f"The time limit cut the tuning of {name} short after {len(search.curve)} value(s).")
            return
        measured = search.attempt(value)
        done = len(search.tried)
        ctx.progress(done, max(expected, done), phase=f"tuning {name}", **measured)


def _coarse(grid: Sequence[float]) -> list[float]:
    return sorted({*grid[::_STRIDE], grid[-1]})


def _climb(search: _Search, grid: list[float]) -> Iterator[float]:
    """A coarse pass over an increasing grid, then neighbours of the best until there is none left to try."""
    yield from _coarse(grid)
    for _ in range(len(grid) + _BEYOND - 1):
        more = _untried_neighbours(search, grid)
        yield from more
        grid = sorted({*grid, *more})


def _untried_neighbours(search: _Search, grid: list[float]) -> list[float]:
    """The grid values on both sides of the best one that were not tried; one more beyond an end."""
    if search.best is None:
        return []
    place = grid.index(search.best.value)
    around = [grid[at] for at in (place - 1, place + 1) if 0 <= at < len(grid)]
    if place == len(grid) - 1:
        around.append(2.0 * grid[-1])
    if place == 0 and grid[0] > _LEAST:
        around.append(grid[0] / 2)
    return [value for value in around if value not in search.tried]


def _tuned(search: _Search, name: str) -> Tuned:
    if search.best is None:
        raise JobError(
            "diverged",
            f"The kernel of {name} is singular at every ridge that was tried.",
            hint="Leave this learner out, or give it more rows.",
        )
    curve = sorted(search.curve, key=lambda point: point["value"])
    chosen = {"ridge" if name == "ease" else "lam": search.best.value}
    return Tuned(search.best.model, chosen, curve, search.best.fit_s, time.perf_counter() - search.started)
