"""Judge a summary of interactions: train learners on it, on the full data and on cheap picks; measure on real users.

Protocol (arXiv:2206.02626, section 5, with two differences): every learner sees one training set alone and then
recommends to all real test users from what they did before; its one hyper-parameter is chosen on validation users
for every set anew, and EASE is tuned as carefully as ∞-AE (the paper's EASE is not). Metrics are per user, over all
items.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.evidence.measurements import Curve, Learner, Measurements, Metric, TrainedResult
from worker.evidence.meter import measured
from worker.evidence.wording import number
from worker.kinds.interactions import portrait
from worker.kinds.interactions.baselines import Contender, contenders
from worker.kinds.interactions.dataset import Interactions, Queries
from worker.kinds.interactions.learners.tuning import Tuned, fit_tuned
from worker.kinds.interactions.metrics import Model, evaluate
from worker.kinds.interactions.summary import InteractionsSummary

Rows = sparse.csr_array
LearnerName = Literal["popularity", "ease", "infinite-ae"]
BaselineName = Literal["random-users", "head-users"]
LEARNERS = {
    "popularity": Learner("popularity", "popularity", floor=True, note="the same list for everyone"),
    "ease": Learner("ease", "EASE"),
    "infinite-ae": Learner("infinite-ae", "∞-AE"),
}
_PARAMETERS = {"lam": "lambda"}
# Test users are scored in blocks this large, so that equal histories are scored once a block.
_BLOCK = 16_384


class EvaluateParams(BaseModel):
    """How a summary of interactions is judged."""

    model_config = ConfigDict(extra="forbid")

    learners: list[LearnerName] = Field(
        ["popularity", "ease", "infinite-ae"], min_length=1, description="Models trained on every set."
    )
    baselines: list[BaselineName] = Field(
        ["random-users", "head-users"], description="Cheap picks of equal size to compare with."
    )
    k: list[int] = Field([10, 100], min_length=1, max_length=5, description="Lengths of the ranked list.")
    metric: str = Field(
        "ndcg@10", pattern=r"^(ndcg|hr|psp)@\d+$", description="What is tuned for and what the verdict speaks of."
    )
    max_users: int = Field(
        25_000, ge=10, le=100_000, description="Rows ∞-AE learns from; a random part of longer data."
    )
    nystrom: bool = Field(False, description="Let ∞-AE learn from all rows through max_users landmarks.")
    tune_users: int = Field(
        2000, ge=0, description="Validation users that hyper-parameters are chosen on; 0 takes all."
    )
    test_users: int = Field(0, ge=0, description="Test users to measure on; 0 takes all.")
    draws: int = Field(3, ge=1, le=20, description="How often the random baseline is drawn.")
    bootstrap: int = Field(1000, ge=100, le=20_000, description="Resamples behind every interval.")

    @model_validator(mode="after")
    def _metric_is_measured(self) -> EvaluateParams:
        if any(not 1 <= k <= 1000 for k in self.k):
            raise ValueError("k lies between 1 and 1000")
        if int(self.metric.rpartition("@")[2]) not in self.k:
            raise ValueError(f"metric {self.metric} needs its list length in k")
        return self


@dataclass(frozen=True)
class _Protocol:
    """What all trainings share. `counts`: events of each item in the full training part."""

    params: EvaluateParams
    validation: Queries
    test: Queries
    counts: np.ndarray
    full_rows: int


def judge(data: Interactions, summary: InteractionsSummary, params: EvaluateParams, ctx: Context) -> Measurements:
    """Train every learner on every set, measure on the test users, and describe the summary.

    Raises `JobError` `too_few_rows` when there are no test users, `Cancelled` when a stop was asked for.
    """
    shared = _protocol(data, params, ctx)
    sets = contenders(data, summary, params.baselines, draws=params.draws, seed=ctx.seed)
    steps = [
        (name, one, draw) for name in dict.fromkeys(params.learners) for one in sets for draw in range(len(one.draws))
    ]
    results = []
    for step, (name, one, draw) in enumerate(steps):
        with ctx.share(step, len(steps), phase=_phase(name, one)):
            result = _train_and_test(name, one, draw, shared, ctx)
        if result is not None:
            results.append(result)
    ctx.progress(len(steps), len(steps), phase="judge: describe")
    return Measurements(
        kind="interactions",
        unit="user",
        units="users",
        test_units="users",
        event="events",
        sets=tuple(one.record for one in sets),
        learners=tuple(sorted((LEARNERS[name] for name in dict.fromkeys(params.learners)), key=lambda one: one.floor)),
        metrics=_metrics(params),
        primary=params.metric,
        results=tuple(results),
        optimised_for=_optimised_for(summary),
        made_by=str(summary.settings.get("method", "")),
        protocol=_said(shared),
        plots=portrait.plots(data, sets, summary),
        tables=(portrait.data_card(data, sets),),
        privacy=portrait.privacy(data, summary, seed=ctx.seed),
        warnings=tuple(dict.fromkeys([*summary.warnings, *ctx.warnings, *_warnings(data, summary, shared, results)])),
        bootstrap=params.bootstrap,
        seed=ctx.seed,
    )


def _phase(learner: str, one: Contender) -> str:
    return f"judge: {LEARNERS[learner].label} on {one.record.label}"


def _protocol(data: Interactions, params: EvaluateParams, ctx: Context) -> _Protocol:
    validation = _sample(data.queries("validation").with_targets(), params.tune_users, ctx.seed)
    test = _sample(data.queries("test").with_targets(), params.test_users, ctx.seed + 1)
    if not len(test):
        raise JobError(
            "too_few_rows",
            "No user of this dataset has a test event, so nothing can be measured.",
            hint="Upload it again with a split that holds out test events.",
        )
    counts = np.asarray(data.train.sum(axis=0)).ravel()
    return _Protocol(params, validation, test, counts, int(np.count_nonzero(np.diff(data.train.indptr))))


def _sample(queries: Queries, most: int, seed: int) -> Queries:
    if not most or len(queries) <= most:
        return queries
    chosen = np.random.default_rng([seed, 2]).choice(len(queries), most, replace=False)
    return queries.take(np.sort(chosen))


def _train_and_test(name: str, one: Contender, draw: int, shared: _Protocol, ctx: Context) -> TrainedResult | None:
    params = shared.params
    rows = one.draws[draw]
    try:
        with measured() as usage:
            tuned = fit_tuned(
                name,
                rows,
                shared.validation,
                metric=params.metric,
                # Few rows want far less ridge than many: the grid follows the size, not the role.
                few=2 * rows.shape[0] < shared.full_rows,
                max_users=params.max_users,
                nystrom=params.nystrom,
                ctx=ctx,
            )
    except JobError as failure:
        if failure.code != "diverged" or one.record.role == "full":
            raise
        ctx.warn(f"{LEARNERS[name].label} could not be trained on {one.record.label}: {failure.detail}")
        return None
    with measured() as predicting:
        found = evaluate(
            _Distinct(tuned.model), shared.test, shared.counts, tuple(params.k), seed=ctx.seed, block=_BLOCK
        )
    per_unit = {metric: values for metric, values in found.items() if values.ndim and np.isfinite(values).all()}
    pooled = {
        metric: float(np.nanmean(values))
        for metric, values in found.items()
        if metric not in per_unit and np.isfinite(values).any()
    }
    return TrainedResult(
        learner=name,
        set=one.record.name,
        seed=draw,
        per_unit=per_unit,
        pooled=pooled,
        chosen={_PARAMETERS.get(key, key): value for key, value in tuned.chosen.items()},
        curve=_curve(tuned),
        validation=_validation_score(tuned, shared),
        fit_s=tuned.fit_s,
        tune_s=tuned.search_s,
        predict_s=predicting.seconds,
        peak_mb=usage.peak_mb,
    )


@dataclass(frozen=True)
class _Distinct:
    """A model that scores equal histories once: on data with short rows most test users share theirs."""

    model: Model

    def scores(self, inputs: Rows) -> np.ndarray:
        """Scores (q, I) of inputs (q, I)."""
        inputs = Rows(inputs)
        inputs.sort_indices()
        if not (inputs.data == 1).all():
            return self.model.scores(inputs)
        ends = inputs.indptr
        index: dict[bytes, int] = {}
        place = np.array(
            [index.setdefault(inputs.indices[a:b].tobytes(), len(index)) for a, b in pairwise(ends)],
            dtype=np.int64,
        )
        if len(index) > 0.8 * inputs.shape[0]:
            return self.model.scores(inputs)
        first = np.unique(place, return_index=True)[1]
        return self.model.scores(Rows(inputs[first]))[place]


def _curve(tuned: Tuned) -> Curve | None:
    if not tuned.curve or not tuned.chosen:
        return None
    points = [(point["value"], point["metric"]) for point in tuned.curve if np.isfinite(point["metric"])]
    parameter = next(iter(tuned.chosen))
    return Curve(_PARAMETERS.get(parameter, parameter), tuple(sorted(points))) if points else None


def _validation_score(tuned: Tuned, shared: _Protocol) -> float | None:
    scores = [point["metric"] for point in tuned.curve if np.isfinite(point["metric"])]
    return max(scores) if scores and len(shared.validation) else None


def _metrics(params: EvaluateParams) -> tuple[Metric, ...]:
    named = {"ndcg": "nDCG", "hr": "HR", "psp": "PSP", "psp_paper": "PSP (as published)"}
    found = [Metric(f"{name}@{k}", f"{label}@{k}") for name, label in named.items() for k in params.k]
    found += [Metric("auc_user", "AUC, per user"), Metric("auc_pooled", "AUC, pooled")]
    return tuple(sorted(found, key=lambda metric: metric.name != params.metric))


def _optimised_for(summary: InteractionsSummary) -> str:
    """The learner inside the distiller's loss; real rows were picked for none."""
    if "optimised_for" in summary.settings:
        return str(summary.settings["optimised_for"])
    return "infinite-ae" if "inner_lambda" in summary.settings and not summary.real_rows else ""


def _said(shared: _Protocol) -> str:
    tuned_on, tested_on = number(len(shared.validation)), number(len(shared.test))
    return (
        "Every learner is trained on each set alone and then recommends to real users from what they did before; "
        f"the ranking is over all items. Hyper-parameters are chosen for every set anew on {tuned_on} validation "
        f"users; the figures are over {tested_on} test users."
    )


def _warnings(
    data: Interactions, summary: InteractionsSummary, shared: _Protocol, results: list[TrainedResult]
) -> list[str]:
    said = []
    metric = shared.params.metric
    full = {r.learner: float(np.mean(r.per_unit[metric])) for r in results if r.set == "full"}
    others = {name: value for name, value in full.items() if not LEARNERS[name].floor}
    if others and "popularity" in full and full["popularity"] > 0.95 * max(others.values()):
        said.append(
            "Popularity comes within 5 % of the best learner on the full data: there is little to personalise here, "
            "and a list of popular items would nearly do."
        )
    if full.get("ease", 0.0) > full.get("infinite-ae", np.inf):
        said.append("EASE is above ∞-AE on the full data: consider EASE as your model.")
    if len(shared.test) < 100:
        said.append(f"Only {len(shared.test)} test users: every interval here is wide.")
    if "infinite-ae" in full and shared.full_rows > shared.params.max_users:
        through = "landmarks drawn from" if shared.params.nystrom else "of"
        seen, there = number(shared.params.max_users), number(shared.full_rows)
        said.append(
            f"On the full data ∞-AE learned from {seen} {through} {there} users (max_users): its full-data figure may "
            "be low."
        )
    return said + portrait.warnings(data, summary)
