"""Judge summaries of tables: train learners on them, on the full data and on cheap picks; measure on held-out rows.

Every learner sees one training set alone, encoded as the summary's own `schema.json` says; its settings are chosen on
the validation rows, for every set anew and from the same grid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.choices import with_choices
from worker.contract.context import Context
from worker.contract.learner import and_floors, learners_of
from worker.evidence.measurements import Measurements, Protocol, Scores, TestSet
from worker.evidence.training import Contender, Plan, code_hash, train_all
from worker.evidence.wording import number
from worker.kinds.table import description
from worker.kinds.table.baselines import PICKS, contenders
from worker.kinds.table.dataset import TEST, VALIDATION, Rows, Table
from worker.kinds.table.metrics import measure, metrics_of
from worker.kinds.table.needs import TEST_ROWS
from worker.kinds.table.predictor import Predict, TrainingRows
from worker.kinds.table.privacy import privacy
from worker.kinds.table.summary import TableSummary

KIND = "table"


class EvaluateParams(BaseModel):
    """How a summary of a table is judged."""

    model_config = ConfigDict(extra="forbid")

    learners: list[str] = Field(
        [], min_length=1, description="Models trained on every set; the floor that they have to beat always is."
    )
    baselines: list[str] = Field([], description="Cheap picks of the same number of rows of every class.")
    tune_rows: int = Field(5_000, ge=0, description="Validation rows that settings are chosen on; 0 takes all.")
    test_rows: int = Field(0, ge=0, description="Test rows to measure on; 0 takes all.")
    draws: int = Field(3, ge=1, le=20, description="How often random rows are drawn.")
    bootstrap: int = Field(1000, ge=100, le=20_000, description="Resamples behind every interval.")


@cache
def evaluate_params() -> type[EvaluateParams]:
    """`EvaluateParams` with the learners and the cheap picks there are."""
    known = learners_of(KIND)
    usual = [name for name, one in known.items() if one.usual]
    return with_choices(EvaluateParams, learners=(known, usual), baselines=(PICKS, PICKS))


def judge(data: Table, summaries: Sequence[TableSummary], params: EvaluateParams, ctx: Context) -> Measurements:
    """Train every learner on every set, measure on the test rows, and describe the first summary.

    Raises `JobError` `too_few_rows` when there are no test rows, `Cancelled` when a stop was asked for, `TimeOver`
    when the time is over before anything was measured.
    """
    validation_rows, test_rows = (
        _sample(np.flatnonzero(data.split == code), most, ctx.seed + code)
        for code, most in ((VALIDATION, params.tune_rows), (TEST, params.test_rows))
    )
    if not len(test_rows):
        raise TEST_ROWS.refusal()
    with ctx.part("sets", 0, 2, seed=ctx.seed) as part:
        sets = contenders(data, summaries, params.baselines, draws=params.draws, ctx=part)
    plan = plan_of(data, sets, data.rows(validation_rows), data.rows(test_rows), params, ctx)
    with ctx.part("train", 1, 2, seed=ctx.seed) as part:
        trained = train_all(plan, part)
    names = [one.record.name for one in sets if one.record.role == "summary"]
    summary = summaries[0]
    return Measurements(
        kind=KIND,
        unit="row",
        units="rows",
        event="rows",
        sets=tuple(one.record for one in sets),
        tests=(TestSet("test", "held-out rows", "rows", len(test_rows), test_rows.astype(str)),),
        learners=tuple(sorted(plan.learners, key=lambda one: one.floor)),
        metrics=metrics_of(len(data.schema.classes)),
        primary=plan.metric.name,
        results=trained.results,
        protocol=_protocol(data, plan, len(validation_rows), len(test_rows), params, ctx),
        origins={name: one.origin for name, one in zip(names, summaries, strict=True)},
        plots=description.plots(data, summary),
        tables=(description.columns_table(data, summary),),
        privacy=privacy(data, summary, seed=ctx.seed),
        warnings=tuple(
            dict.fromkeys(
                [*(text for one in summaries for text in one.warnings), *ctx.warnings, *_warnings(data, test_rows)]
            )
        ),
        unfinished=trained.unfinished,
        bootstrap=params.bootstrap,
        seed=ctx.seed,
    )


def _sample(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    if not most or len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng([seed, 2]).choice(rows, most, replace=False))


def plan_of(
    data: Table, sets: Sequence[Contender], validation: Rows, test: Rows, params: EvaluateParams, ctx: Context
) -> Plan:
    """How learners are trained on each of some sets, tuned on validation rows and measured on test rows."""
    known, classes = learners_of(KIND), len(data.schema.classes)
    metric = metrics_of(classes)[0]

    def validate(model: Predict) -> Scores:
        return measure(model(validation.x), validation.y, classes)[metric.name]

    def test_scores(model: Predict) -> Mapping[str, Mapping[str, Scores]]:
        return {"test": measure(model(test.x), test.y, classes)}

    return Plan(
        learners=[known[name] for name in and_floors(params.learners, known)],
        contenders=sets,
        metric=metric,
        params=params,
        validator=(lambda _: validate) if _decides(validation, classes) else None,
        measure=test_scores,
        digest=_digest,
        basis={"metric": metric.name, "held out": [_digest(TrainingRows(one, classes)) for one in (validation, test)]},
        code=_code(),
    )


def _decides(validation: Rows, classes: int) -> bool:
    """Whether validation rows can tell settings apart: an AUC needs both classes."""
    return len(validation) > 1 and (not classes or len(np.unique(validation.y)) > 1)


def _digest(given: TrainingRows) -> str:
    rows = given.rows
    digest = hashlib.sha256(repr((rows.x.shape, given.classes)).encode())
    for array in (rows.x, rows.y, rows.weight):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@cache
def _code() -> str:
    return code_hash(Path(__file__).parent)


def _protocol(data: Table, plan: Plan, tuned: int, tested: int, params: EvaluateParams, ctx: Context) -> Protocol:
    fields = {
        "split": {"content": ctx.content, "name": data.schema.split},
        "metric": plan.metric.name,
        "learners": {one.name: one.version for one in plan.learners},
        "tuning": {"rows": tuned, "settings": {one.name: list(one.settings) for one in plan.learners}},
        "seeds": {"job": ctx.seed, "draws": params.draws, "learners": {one.name: one.seeds for one in plan.learners}},
        "tests": {"rows": tested},
    }
    if data.classification:
        defined = (
            "AUC is the share of pairs of a row of either class that the model puts in the right order, ties as half; "
            "accuracy the share of rows whose class is predicted; balanced accuracy the mean of that share over the "
            "classes; log-loss the mean of minus the logarithm of the probability given to a row's class, which is "
            "taken as at least one in a million."
        )
    else:
        defined = "R² is 1 minus the squared error over the variance of the test targets."
    text = (
        "Every learner is trained on each set alone. All sets are encoded alike, as schema.json of the summary says: "
        "means, scales and levels are those of the training part. Rows of a summary count alike, and by their weights "
        "in the form that says so; weights bring classes back to their shares, which lowers log-loss and, where "
        "classes are unequal, balanced accuracy with it. Settings are chosen for every set anew on "
        f"{number(tuned)} validation rows; figures are over {number(tested)} test rows, unweighted. {defined} Random "
        "rows and medoids have as many rows of every class (or bin) as the summary, so that they differ in nothing but "
        "which rows they are; all have the same columns, so that equal rows take about equal bytes."
    )
    return Protocol(fields, text)


def _warnings(data: Table, test_rows: np.ndarray) -> list[str]:
    said: list[str] = []
    if len(test_rows) < 200:
        said.append(f"Only {len(test_rows)} test rows: every interval here is wide.")
    if data.classification:
        counts = np.bincount(data.train.y, minlength=len(data.schema.classes))
        if counts.min() < 0.02 * counts.sum():
            rare = data.schema.classes[int(counts.argmin())]
            said.append(
                f"The class {rare[:40]!r} has {100 * counts.min() / counts.sum():.2g} % of the training rows: look at "
                "balanced accuracy beside accuracy."
            )
    return said
