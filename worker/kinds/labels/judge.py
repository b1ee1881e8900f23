"""Judge summaries of documents: train learners on them, on the full data and on cheap picks; measure on held-out
documents.

P@1 leads, and PSP@1 guards it: where a summary keeps clearly less of the precision that counts rare labels for more,
the verdict says so.
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
from worker.kinds.labels.baselines import PICKS, contenders
from worker.kinds.labels.dataset import TEST, VALIDATION, LabelledDocuments, LabelSet
from worker.kinds.labels.frequency import deciles, losses_table, recall_plots, recalls
from worker.kinds.labels.metrics import AT, METRICS, inverse_propensities, measure
from worker.kinds.labels.needs import TEST_DOCUMENTS
from worker.kinds.labels.privacy import privacy
from worker.kinds.labels.ranking import Model, permitted
from worker.kinds.labels.summary import LabelsSummary

KIND = "labels"
_DEEPEST = max(AT)


class EvaluateParams(BaseModel):
    """How a summary of documents with labels is judged."""

    model_config = ConfigDict(extra="forbid")

    learners: list[str] = Field(
        [], min_length=1, description="Models trained on every set; the floor that they have to beat always is."
    )
    baselines: list[str] = Field([], description="Cheap picks of the same number of documents.")
    tune_documents: int = Field(5_000, ge=0, description="Validation documents to choose settings on; 0 takes all.")
    test_documents: int = Field(0, ge=0, description="Test documents to measure on; 0 takes all.")
    draws: int = Field(3, ge=1, le=20, description="How often random documents are drawn.")
    bootstrap: int = Field(1000, ge=100, le=20_000, description="Resamples behind every interval.")


@cache
def evaluate_params() -> type[EvaluateParams]:
    """`EvaluateParams` with the learners and the cheap picks there are."""
    known = learners_of(KIND)
    usual = [name for name, one in known.items() if one.usual]
    return with_choices(EvaluateParams, learners=(known, usual), baselines=(PICKS, PICKS))


def judge(
    data: LabelledDocuments, summaries: Sequence[LabelsSummary], params: EvaluateParams, ctx: Context
) -> Measurements:
    """Train every learner on every set, measure on the test documents, and describe the first summary.

    Raises `JobError` `too_few_rows` when there are no test documents, `Cancelled` when a stop was asked for, `TimeOver`
    when the time is over before anything was measured.
    """
    validation = _sample(data.part(VALIDATION), params.tune_documents, ctx.seed + VALIDATION)
    test = data.part(TEST)
    asked = _sampled(len(test), params.test_documents, ctx.seed + TEST)
    if not len(asked):
        raise TEST_DOCUMENTS.refusal()
    ids = data.ids.take(data.rows(TEST)[asked])
    test = test.take(asked)
    with ctx.part("sets", 0, 2, seed=ctx.seed) as part:
        sets = contenders(data, summaries, params.baselines, draws=params.draws, ctx=part)
    plan = _plan(data, sets, validation, test, params, ctx)
    with ctx.part("train", 1, 2, seed=ctx.seed) as part:
        trained = train_all(plan, part)
    names = [one.record.name for one in sets if one.record.role == "summary"]
    summary = summaries[0]
    shown = {one.record.name: one.record.label for one in sets if one.record.role != "form"}
    return Measurements(
        kind=KIND,
        unit="document",
        units="documents",
        event="labels",
        sets=tuple(one.record for one in sets),
        tests=(TestSet("test", "held-out documents", "documents", len(test), np.array(list(ids))),),
        learners=tuple(sorted(plan.learners, key=lambda one: one.floor)),
        metrics=METRICS,
        primary=plan.metric.name,
        guard="psp1",
        results=trained.results,
        protocol=_protocol(data, plan, len(validation), len(test), params, ctx),
        origins={name: one.origin for name, one in zip(names, summaries, strict=True)},
        plots=recall_plots(
            data, trained.results, {one.name: one.label for one in plan.learners if not one.floor}, shown
        ),
        tables=(losses_table(data, summary),),
        privacy=privacy(data, summary, ctx),
        warnings=tuple(
            dict.fromkeys([*(text for one in summaries for text in one.warnings), *ctx.warnings, *_warnings(test)])
        ),
        unfinished=trained.unfinished,
        bootstrap=params.bootstrap,
        seed=ctx.seed,
    )


def _sampled(count: int, most: int, seed: int) -> np.ndarray:
    if not most or count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng([seed, 2]).choice(count, most, replace=False))


def _sample(documents: LabelSet, most: int, seed: int) -> LabelSet:
    return documents.take(_sampled(len(documents), most, seed))


def _plan(
    data: LabelledDocuments, sets: Sequence[Contender], validation: LabelSet, test: LabelSet, params: EvaluateParams,
    ctx: Context,
) -> Plan:  # fmt: skip
    known, metric = learners_of(KIND), METRICS[0]
    about = data.about
    inverse = inverse_propensities(data.known_counts, data.known_documents, about.a, about.b)
    group = deciles(data.known_counts)

    def validate(model: Model) -> Scores:
        return measure(permitted(model, validation, _DEEPEST, ctx), validation.targets, inverse)[metric.name]

    def test_scores(model: Model) -> Mapping[str, Mapping[str, Scores]]:
        top = permitted(model, test, _DEEPEST, ctx)
        return {"test": {**measure(top, test.targets, inverse), **recalls(top, test.targets, group)}}

    return Plan(
        learners=[known[name] for name in and_floors(params.learners, known)],
        contenders=sets,
        metric=metric,
        params=params,
        validator=(lambda _: validate) if len(validation) > 1 else None,
        measure=test_scores,
        digest=_digest,
        basis={
            "metric": metric.name,
            "held out": [_digest(one) for one in (validation, test)],
            "propensities": hashlib.sha256(inverse.tobytes()).hexdigest(),
        },
        code=_code(),
    )


def _digest(documents: LabelSet) -> str:
    """A hash of all that a learner may look at."""
    digest = hashlib.sha256(repr(documents.targets.shape).encode())
    for matrix in (documents.targets, documents.features, documents.label_features, documents.barred):
        if matrix is not None:
            for array in (matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data):
                digest.update(array.tobytes())
        digest.update(b"|")
    for texts in (documents.titles, documents.bodies, documents.label_titles, documents.label_bodies):
        for text in texts or ():
            digest.update(text.encode() + b"\0")
        digest.update(b"|")
    for array in (documents.weights, documents.candidates):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@cache
def _code() -> str:
    return code_hash(Path(__file__).parent)


def _protocol(
    data: LabelledDocuments, plan: Plan, tuned: int, tested: int, params: EvaluateParams, ctx: Context
) -> Protocol:
    a, b = data.about.a, data.about.b
    fields = {
        "split": {"content": ctx.content, "name": data.about.split},
        "metric": plan.metric.name,
        "propensities": {"a": a, "b": b},
        "learners": {one.name: one.version for one in plan.learners},
        "tuning": {"documents": tuned, "settings": {one.name: list(one.settings) for one in plan.learners}},
        "seeds": {"job": ctx.seed, "draws": params.draws, "learners": {one.name: one.seeds for one in plan.learners}},
        "tests": {"documents": tested},
    }
    text = (
        "Every learner is trained on each set alone, documents counted by their weights, and fits its vocabulary to "
        "it; text of labels is known to all and counted in the bytes of none. P@k is the mean over documents of the "
        "share of the first k predicted labels that are true, also where a document has fewer than k; nDCG@k their "
        "discounted gain over the best possible. PSP@k counts a true label by its inverse propensity, 1 + C (n + "
        f"{b:g})^-{a:g} with n its training documents and C = (ln N - 1) ({b:g} + 1)^{a:g}, and is the sum over all "
        "documents over the best possible sum. Training documents are those of the upload, validation documents that "
        "were drawn from them among them. Equal scores are put in the order of the labels' numbers. Barred pairs are "
        f"taken out of truth and predictions. Settings are chosen for every set anew on {number(tuned)} validation "
        "documents, where labels with fewer than 2 training documents are neither truth nor predicted; figures are "
        f"over {number(tested)} test documents and all labels. Random documents are as many as the summary has and, "
        "where they take other bytes, also as many as fit into its bytes."
    )
    return Protocol(fields, text)


def _warnings(test: LabelSet) -> list[str]:
    return [f"Only {len(test)} test documents: every interval here is wide."] if len(test) < 200 else []
