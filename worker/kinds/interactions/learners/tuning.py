"""Choosing a learner's one hyper-parameter on validation users, and only there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from worker.kinds.interactions.dataset import Queries
from worker.kinds.interactions.learners.ease import Ease, EaseGram
from worker.kinds.interactions.learners.infinite_ae import MAX_USERS, InfiniteAE
from worker.kinds.interactions.learners.popularity import Popularity
from worker.kinds.interactions.metrics import Model, evaluate
from worker.runtime.context import Context
from worker.runtime.errors import JobError

LEARNERS = ("popularity", "ease", "infinite-ae")
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "ease": {
        "full": (1, 20, 100, 200, 500, 1000, 2000),
        "summary": (0.01, 0.1, 0.5, 1, 5, 20, 50, 100, 200, 500, 1000, 2000),
    },
    "infinite-ae": {
        "full": (0.1, 0.5, 1, 2, 3, 5, 8, 10, 15, 20, 50),
        "summary": (1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 50),
    },
}
OFFICIAL_GRID = (0.0, 1.0, 5.0, 20.0, 50.0, 100.0)  # the published ∞-AE's, for full data
FEW_EVENTS = 500


@dataclass(frozen=True)
class Tuned:
    """A fitted learner: what was chosen, `curve` with {value, metric, fit_s, predict_s} for every value
    tried.

    `fit_s`: seconds to fit at the chosen value alone, what it shares with the others included; `predict_s`:
    seconds to score the validation users; `search_s`: seconds of everything.
    """

    model: Model
    chosen: dict[str, Any]
    curve: list[dict[str, float]]
    fit_s: float
    predict_s: float
    search_s: float


@dataclass(frozen=True)
class _Fitted:
    value: float
    model: Model
    fit_s: float


def fit_tuned(
    learner_name: str,
    rows: sparse.csr_array,
    validation: Queries,
    *,
    metric: str = "ndcg@10",
    grid: Sequence[float] | None = None,
    summary: bool = False,
    max_users: int = MAX_USERS,
    nystrom: bool = False,
    depth: int = 1,
    ctx: Context | None = None,
) -> Tuned:
    """Fit `popularity`, `ease` or `infinite-ae` to rows (n, I) at the value of `grid` that is best on
    validation.

    `metric`: `ndcg@10`, or `hr@100` as in the paper, or any other of `metrics.evaluate`. Without `grid` the
    one for full data is taken, or for a `summary`, which needs less ridge. Without validation targets the
    middle of the grid is taken. Equal values go to the earlier one. Past the time limit the best so far is
    kept, with a warning. Raises `JobError` `diverged` when no value of the grid can be fitted.
    """
    ctx = ctx or Context()
    validation = validation.with_targets()
    if learner_name == "popularity":
        return _popularity(rows, validation)
    if learner_name not in LEARNERS:
        raise JobError("invalid_input", f"There is no learner {learner_name!r}.", hint=f"Learners: {LEARNERS}.")
    values = tuple(grid or GRIDS[learner_name]["summary" if summary else "full"])
    if len(validation) == 0:
        ctx.warn(f"There are no validation events: {learner_name} was fitted at a default, not a tuned, ridge.")
        values = (values[len(values) // 2],)
    elif validation.targets.nnz < FEW_EVENTS:
        ctx.warn(f"Only {validation.targets.nnz} validation events: the choice of a ridge is unreliable.")
    if learner_name == "ease":
        models = _ease_path(rows, values, ctx.device)
    else:
        learner = InfiniteAE(depth=depth, max_users=max_users, nystrom=nystrom, seed=ctx.seed, device=ctx.device)
        models = _infinite_ae_path(learner, rows, values)
    return _best(learner_name, models, len(values), validation, metric, ctx)


def _popularity(rows: sparse.csr_array, validation: Queries) -> Tuned:
    started = time.perf_counter()
    model = Popularity().fit(rows)
    fitted = time.perf_counter()
    model.scores(validation.inputs)
    done = time.perf_counter()
    return Tuned(model, {}, [], fitted - started, done - fitted, done - started)


def _ease_path(rows: sparse.csr_array, values: Sequence[float], device: str) -> Iterator[_Fitted]:
    started = time.perf_counter()
    shared = EaseGram.of(rows, device)
    shared_s = time.perf_counter() - started
    for value in values:
        started = time.perf_counter()
        model = Ease(value, device).fit_gram(shared)
        yield _Fitted(value, model, shared_s + time.perf_counter() - started)


def _infinite_ae_path(learner: InfiniteAE, rows: sparse.csr_array, values: Sequence[float]) -> Iterator[_Fitted]:
    """Models of the path; the first pays for the kernel, and so does each of the others, for they would
    alone."""
    path = learner.path(rows, values)
    shared_s: float | None = None
    while True:
        started = time.perf_counter()
        model = next(path, None)
        if model is None:
            return
        spent = time.perf_counter() - started
        shared_s = spent - model.solve_s if shared_s is None else shared_s
        yield _Fitted(model.learner.lam, model, shared_s + model.solve_s)


def _best(name: str, models: Iterator[_Fitted], total: int, validation: Queries, metric: str, ctx: Context) -> Tuned:
    started = time.perf_counter()
    curve: list[dict[str, float]] = []
    best: tuple[float, _Fitted, float] | None = None
    ctx.progress(0, total, phase=f"tuning {name}")
    for fitted in models:
        before = time.perf_counter()
        value = _measure(fitted.model, validation, metric)
        predict_s = time.perf_counter() - before
        curve.append({"value": fitted.value, "metric": value, "fit_s": fitted.fit_s, "predict_s": predict_s})
        if best is None or value > best[0]:
            best = value, fitted, predict_s
        ctx.progress(len(curve), total, phase=f"tuning {name}", **{metric: value})
        if ctx.out_of_time() and len(curve) < total:
            ctx.warn(f"The time limit cut the tuning of {name} short after {len(curve)} of {total} values.")
            break
    if best is None:
        raise JobError(
            "diverged",
            f"The kernel of {name} is singular at every ridge of the grid.",
            hint="Add larger values to lambda_grid.",
            pointer="/params/lambda_grid",
        )
    _, chosen, predict_s = best
    parameter = "ridge" if name == "ease" else "lam"
    search_s = time.perf_counter() - started
    return Tuned(chosen.model, {parameter: chosen.value}, curve, chosen.fit_s, predict_s, search_s)


def _measure(model: Model, validation: Queries, metric: str) -> float:
    if len(validation) == 0:
        return float("nan")
    ranked = "@" in metric
    ks = (int(metric.rpartition("@")[2]),) if ranked else (10,)
    counts = np.asarray(validation.inputs.sum(axis=0)).ravel()
    found = evaluate(model, validation, counts, ks, auc=not ranked)
    return float(np.nanmean(found[metric]))
