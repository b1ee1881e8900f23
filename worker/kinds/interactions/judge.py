"""Judge summaries of interactions: train learners on them, on the full data and on cheap picks; measure on real users.

Protocol (arXiv:2206.02626, section 5, with two differences): every learner sees one training set alone and then
recommends to all real test users from what they did before; its one hyper-parameter is chosen on validation users
for every set anew, and EASE is tuned as carefully as ∞-AE (the paper's EASE is not). Metrics are per user, over all
items.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import sparse

import worker.numerics
from worker.contract.choices import with_choices
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Learner, Trainable, and_floors, learners_of
from worker.evidence.measurements import Measurements, Metric, Protocol, Scores, TestSet, TrainedResult
from worker.evidence.statistics import value_of
from worker.evidence.training import Contender, Plan, Validate, code_hash, train_all
from worker.evidence.wording import number
from worker.kinds.interactions import description, privacy
from worker.kinds.interactions.baselines import PICKS, contenders
from worker.kinds.interactions.dataset import Interactions, Queries
from worker.kinds.interactions.learners.infinite_ae import LANDMARKS, MAX_USERS
from worker.kinds.interactions.metrics import Model, Ranking
from worker.kinds.interactions.needs import ITEM_FEATURES, TEST_USERS
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.summary import InteractionsSummary
from worker.numerics import gram_loops
from worker.numerics.compiled import ready

Rows = sparse.csr_array
KIND = "interactions"
_BLOCK = 16_384  # test users are scored in blocks this large: equal histories are scored once a block
_CROSS_BYTES = 400 * 10**6
_FEW_EVENTS = 500


class EvaluateParams(BaseModel):
    """How a summary of interactions is judged."""

    model_config = ConfigDict(extra="forbid")

    learners: list[str] = Field(
        [], min_length=1, description="Models trained on every set; the floor that they have to beat always is."
    )
    baselines: list[str] = Field([], description="Cheap picks of equal rows and of equal bytes to compare with.")
    k: list[int] = Field([10, 100], min_length=1, max_length=5, description="Lengths of the ranked list.")
    metric: str = Field(
        "ndcg@10", pattern=r"^(ndcg|hr|psp)@\d+$", description="What is tuned for and what the verdict speaks of."
    )
    max_users: int = Field(
        MAX_USERS, ge=10, le=100_000, description="Distinct rows up to which ∞-AE is exact; it learns from all rows."
    )
    landmarks: int = Field(
        LANDMARKS, ge=10, le=20_000, description="Rows through which ∞-AE learns where there are more than max_users."
    )
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


@cache
def evaluate_params() -> type[EvaluateParams]:
    """`EvaluateParams` with the learners and the cheap picks there are."""
    known = learners_of(KIND)
    usual = [name for name, one in known.items() if one.usual]
    return with_choices(EvaluateParams, learners=(known, usual), baselines=(PICKS, PICKS))


@dataclass(frozen=True)
class Held:
    """The users that are held out. `counts`: events of each item in the full training part (I,). `in_order`: the same
    users with the order of their inputs, where a learner reads it."""

    validation: Queries
    test: Queries
    counts: np.ndarray
    in_order: Held | None = None


def judge(
    data: Interactions, summaries: Sequence[InteractionsSummary], params: EvaluateParams, ctx: Context
) -> Measurements:
    """Train every learner on every set, measure on the test users, and describe the first summary.

    Raises `JobError` `too_few_rows` when there are no test users, `Cancelled` when a stop was asked for, `TimeOver`
    when the time is over before anything was measured.
    """
    ready(gram_loops.warm_up, lambda: ctx.progress(0, 1, phase="compile"))
    params = readable(data, params, ctx)
    params = params.model_copy(update={"learners": and_floors(params.learners, learners_of(KIND))})
    held = hold_out(data, params, ctx)
    in_order = held.in_order is not None
    sets = contenders(data, summaries, params.baselines, draws=params.draws, seed=ctx.seed, in_order=in_order)
    plan = plan_of(data, held, sets, params, ctx)
    with ctx.part("train", 0, 1, seed=ctx.seed) as part:
        trained = train_all(plan, part)
    summary = summaries[0]
    names = [one.record.name for one in sets if one.record.role == "summary"]
    return Measurements(
        kind=KIND,
        unit="user",
        units="users",
        event="events",
        sets=tuple(one.record for one in sets),
        tests=(TestSet("test", "held-out events", "users", len(held.test), data.user_ids[held.test.users]),),
        learners=tuple(sorted(plan.learners, key=lambda one: one.floor)),
        metrics=_metrics(params),
        primary=params.metric,
        results=trained.results,
        protocol=_protocol(data, held, plan, params, ctx),
        origins={name: one.origin for name, one in zip(names, summaries, strict=True)},
        plots=description.plots(data, sets, summary),
        tables=(description.data_card(data, sets),),
        privacy=(
            *privacy.nearest_rows(data, summary, seed=ctx.seed),
            *privacy.membership_attack(data, summary, seed=ctx.seed),
        ),
        warnings=tuple(
            dict.fromkeys(
                [
                    *(text for one in summaries for text in one.warnings),
                    *ctx.warnings,
                    *_warnings(data, summary, held, params, trained.results),
                ]
            )
        ),
        unfinished=trained.unfinished,
        arrays=_draws(sets, ctx.seed),
        bootstrap=params.bootstrap,
        seed=ctx.seed,
    )


def _draws(sets: Sequence[Contender], seed: int) -> dict[str, np.ndarray]:
    """How to draw every random pick again: the seeds of each draw, and how many users it has."""
    found: dict[str, np.ndarray] = {}
    for one in sets:
        if one.record.role == "baseline" and one.record.method == "random-users":
            found[f"draw_seeds/{one.record.name}"] = np.array([[seed, draw] for draw in range(len(one.draws))])
            found[f"draw_users/{one.record.name}"] = np.array([len(rows) for rows in one.draws])
    return found


def readable(data: Interactions, params: EvaluateParams, ctx: Context) -> EvaluateParams:
    """The params without learners that read events in order, where the dataset has no times.

    Raises `JobError` where none is left, or one reads features of items and the dataset has none.
    """
    known = learners_of(KIND)
    featured = [name for name in params.learners if known[name].featured]
    if featured and data.item_features is None:
        raise ITEM_FEATURES.refusal()
    kept = [name for name in params.learners if data.events.timestamp is not None or not known[name].ordered]
    if not kept:
        raise JobError(
            "invalid_input",
            "The learners asked for read events in their order of time; this dataset has no times.",
            hint="Add ease to the learners; or upload the dataset again, with a time column or rows_in_time_order.",
            pointer="/evaluate/learners",
        )
    for name in params.learners:
        if name not in kept:
            ctx.warn(f"{known[name].label} was left out: it reads events in their order, and the dataset has no times.")
    return params.model_copy(update={"learners": kept})


def hold_out(data: Interactions, params: EvaluateParams, ctx: Context) -> Held:
    """Validation and test users, a random part of them where the params say so."""
    counts = data.training().counts
    held = _held(data, params, ctx.seed, counts)
    if not len(held.test):
        raise TEST_USERS.refusal()
    if 0 < held.validation.targets.nnz < _FEW_EVENTS:
        ctx.warn(f"Only {held.validation.targets.nnz} validation events: the choice of a ridge is unreliable.")
    known = learners_of(KIND)
    if not any(known[name].ordered for name in params.learners):
        return held
    return replace(held, in_order=_held(data, params, ctx.seed, counts, in_order=True))


def _held(data: Interactions, params: EvaluateParams, seed: int, counts: np.ndarray, *, in_order: bool = False) -> Held:
    validation = data.queries("validation", in_order=in_order).with_targets()
    test = data.queries("test", in_order=in_order).with_targets()
    return Held(_sample(validation, params.tune_users, seed), _sample(test, params.test_users, seed + 1), counts)


def _sample(queries: Queries, most: int, seed: int) -> Queries:
    if not most or len(queries) <= most:
        return queries
    chosen = np.random.default_rng([seed, 2]).choice(len(queries), most, replace=False)
    return queries.take(np.sort(chosen))


def plan_of(data: Interactions, held: Held, sets: Sequence[Contender], params: EvaluateParams, ctx: Context) -> Plan:
    """What is trained on what, and how it is measured."""
    known = learners_of(KIND)
    metric = next(one for one in _metrics(params) if one.name == params.metric)
    tuned_for = (int(params.metric.rpartition("@")[2]),)
    # By whether inputs carry the order of time: models that read it say so.
    users = {False: held} | ({} if held.in_order is None else {True: held.in_order})
    validation = {
        order: Ranking.of(one.validation, one.counts, tuned_for, auc=False, share=True) for order, one in users.items()
    }
    test = {
        order: Ranking.of(one.test, one.counts, tuple(params.k), seed=ctx.seed, block=_BLOCK, share=True)
        for order, one in users.items()
    }

    def validator(trainable: Trainable) -> Validate:
        return _validator(trainable, validation[getattr(trainable, "ordered", False)], params.metric)

    def measure(model: Model) -> Mapping[str, Mapping[str, Scores]]:
        found = test[getattr(model, "ordered", False)].measure(model)
        return {"test": {name: _scores(values) for name, values in found.items() if np.isfinite(values).any()}}

    return Plan(
        learners=[known[name] for name in dict.fromkeys(params.learners)],
        contenders=sets,
        metric=metric,
        params=params,
        validator=validator if len(held.validation) else None,
        measure=measure,
        digest=_digest,
        basis=params.model_dump(exclude={"learners", "baselines", "draws", "bootstrap"})
        | {
            "seed": ctx.seed,
            "held out": [
                _digest(UserRows(rows)) for one in (held.validation, held.test) for rows in (one.inputs, one.targets)
            ],
        },
        code=_code(),
    )


def _scores(values: np.ndarray) -> Scores:
    """Per user where every user has a value, else the one figure over those who have."""
    return values if values.ndim and np.isfinite(values).all() else float(np.nanmean(values))


def _validator(trainable: Trainable, users: Ranking, metric: str) -> Validate:
    """The metric of every validation user; what all models of a training need of them is computed once."""
    cross = getattr(trainable, "cross", None)
    room = _CROSS_BYTES // max(1, len(users.inputs))
    prepared = [None if cross is None else cross(inputs, room) for inputs in users.inputs]

    def validate(model: Any) -> Scores:
        parts = iter(prepared)  # `measure` asks for the inputs in order, each once

        def score(inputs: Rows) -> np.ndarray:
            part = next(parts)
            return model.scores(inputs) if part is None else model.scores(inputs, part)

        return users.measure(score)[metric]

    return validate


def _digest(rows: UserRows) -> str:
    matrix, order = rows.matrix, None if rows.places is None else rows.places.data
    digest = hashlib.sha256(repr((matrix.shape, rows.weights is None)).encode())
    for array in (matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data, rows.weights, order):
        digest.update(b"" if array is None else array.tobytes())
    return digest.hexdigest()


@cache
def _code() -> str:
    here = Path(__file__).parent
    return code_hash(here, Path(worker.numerics.__path__[0]))


def _metrics(params: EvaluateParams) -> tuple[Metric, ...]:
    named = {"ndcg": "nDCG", "hr": "HR", "psp": "PSP", "psp_paper": "PSP (as published)"}
    found = [Metric(f"{name}@{k}", f"{label}@{k}") for name, label in named.items() for k in params.k]
    found += [Metric("auc_user", "AUC, per user"), Metric("auc_pooled", "AUC, pooled")]
    return tuple(sorted(found, key=lambda metric: metric.name != params.metric))


def _protocol(data: Interactions, held: Held, plan: Plan, params: EvaluateParams, ctx: Context) -> Protocol:
    split = str(data.options.get("split", "given"))
    fields = {
        "split": {"content": ctx.content, "name": split},
        "metric": params.metric,
        "learners": {one.name: one.version for one in plan.learners},
        "tuning": {"users": len(held.validation), "settings": {one.name: list(one.settings) for one in plan.learners}},
        "seeds": {"job": ctx.seed, "draws": params.draws},
        "tests": {"users": len(held.test), "k": params.k},
        "limits": {"max_users": params.max_users, "landmarks": params.landmarks},
    }
    tuned_on, tested_on = number(len(held.validation)), number(len(held.test))
    text = (
        "Every learner is trained on each set alone and then recommends to real users; the ranking is over all items, "
        "equal scores going to the earlier row of items.parquet. At test time it is fed a user's training and "
        "validation events (with whole users held out, their fold-in events instead), and what it is fed is not "
        f"recommended again. Settings are chosen for every set anew on {tuned_on} validation users, who are fed their "
        f"training events; figures are means over {tested_on} test users. With T a user's test items and r the ranks "
        "from 1: HR@k is |T in the top k| / min(|T|, k); nDCG@k is the sum of 1/log2(r + 1) over the test items in the "
        "top k, over the largest that sum can be; PSP@k weighs hits by 1 + C (n + 1.5)^-0.55, n the item's training "
        "events, C = (ln N - 1) 2.5^0.55, N all training events, over the largest that sum can be; AUC is the share of "
        "pairs of a test item and an item drawn from those the user never used that are in the right order, ties as "
        "half: the numbers u of row q of numpy.random.default_rng(seed).random((test users, 50)) draw items floor(u n) "
        "of the n that test user q never used, in the order of items.parquet. Draw d of random users takes the first "
        "users of numpy.random.default_rng([seed, d]).permutation(users with training events, in the order of "
        "users.parquet): how many is in draw_users of measurements.npz, the seeds are in draw_seeds."
    )
    return Protocol(fields, text)


def _warnings(
    data: Interactions,
    summary: InteractionsSummary,
    held: Held,
    params: EvaluateParams,
    results: Sequence[TrainedResult],
) -> list[str]:
    known: Mapping[str, Learner] = learners_of(KIND)
    full = {r.learner: value_of(r.scores["test"][params.metric]) for r in results if r.set == "full"}
    said = []
    others = {name: value for name, value in full.items() if not known[name].floor}
    if others and "popularity" in full and full["popularity"] > 0.95 * max(others.values()):
        said.append(
            "Popularity comes within 5 % of the best learner on the full data: there is little to personalise here, "
            "and a list of popular items would nearly do."
        )
    if full.get("ease", 0.0) > full.get("infinite-ae", np.inf):
        said.append("EASE is above ∞-AE on the full data: consider EASE as your model.")
    if len(held.test) < 100:
        said.append(f"Only {len(held.test)} test users: every interval here is wide.")
    different = description.distinct_rows(data.training_rows())
    if "infinite-ae" in full and different > params.max_users:
        said.append(
            f"On the full data ∞-AE learned through {number(params.landmarks)} landmarks, as {number(different)} "
            "distinct rows are more than max_users: its full-data figure may be a little low."
        )
    return said + description.warnings(data, summary)
