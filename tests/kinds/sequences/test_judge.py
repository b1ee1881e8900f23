from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.kinds.sequences.planted import planted
from tests.kinds.sequences.test_summary import soft_summary
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.evidence.measurements import Measurements
from worker.evidence.report import build
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.evaluate_params import evaluate_params
from worker.kinds.sequences.judge import judge
from worker.kinds.sequences.methods.loss import LossParams, loss
from worker.kinds.sequences.methods.next_event import next_event
from worker.kinds.sequences.methods.perplexity import perplexity
from worker.kinds.sequences.methods.random import random_sequences
from worker.kinds.sequences.privacy import nearest_rows
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.selection import SelectParams
from worker.kinds.sequences.teacher import teach

QUICK: dict[str, Any] = {"seeds": 1, "steps": 20, "draws": 2, "bootstrap": 100}


def judged(data: Sequences, summary: Any, **params: Any) -> Measurements:
    return judge(data, [summary], evaluate_params()(**(QUICK | params)), Context(seed=1, content="c"))


def judged_curve(data: Sequences) -> Measurements:
    summary = random_sequences(data, SelectParams(budget=10), Context())
    return judged(data, summary, learners=["sasrec"], baselines=[], steps=40)


def test_contenders_when_a_selection_is_judged_then_are_those_of_equal_rows_and_of_equal_bytes():
    data = planted(100)
    summary = random_sequences(data, SelectParams(budget=10), Context())
    found = judged(data, summary, learners=["popularity", "markov"], baselines=["random", "longest", "k-center"])
    sets = {one.name: one for one in found.sets}
    assert set(sets) == {
        "full", "summary", "random", "random-bytes", "longest", "longest-bytes", "k-center", "k-center-bytes",
    }  # fmt: skip
    for name in ("random", "longest", "k-center"):
        assert sets[name].rows == 10
        assert sets[f"{name}-bytes"].bytes <= sets["summary"].bytes
        assert sets[f"{name}-bytes"].bytes >= sets["summary"].bytes - 10
    assert sets["full"].rows == 100
    assert sets["full"].events == len(data.training().items)
    assert {metric.name for metric in found.metrics} == {"ndcg@10", "ndcg@100", "hr@10", "hr@100", "mrr"}


def test_report_when_built_then_breaks_down_by_history_and_popularity_and_says_what_it_measured():
    data = planted(100)
    summary = random_sequences(data, SelectParams(budget=10), Context())
    found = judged(data, summary, learners=["popularity", "sasrec"], baselines=["random"])
    tables = {table.name: table for table in found.tables}
    assert {"data_card", "breakdown", "rows"} <= set(tables)
    columns = {column.key: column.label for column in tables["breakdown"].columns}
    cases = [int(label.rsplit("(", 1)[1].rstrip(")")) for key, label in columns.items() if key in ("cold", "warm")]
    assert sum(cases) == len(data.cases("test"))
    report = build(found, {"kind": "sequences", "method": "random", "task": "select"})
    assert "half of the other items" in report.json_text()
    assert {plot.name for plot in found.plots} >= {"popularity", "row-lengths"}


def test_soft_forms_when_judged_then_each_is_measured_as_delivered_with_its_entropy_and_curve():
    data = planted(60)
    found = judged(data, soft_summary(data), learners=["markov", "sasrec"], baselines=["random"])
    sets = {one.name: one for one in found.sets}
    assert {"summary", "summary-topk", "summary-hard"} <= set(sets)
    assert sets["summary"].role == "summary"
    assert sets["summary-topk"].role == sets["summary-hard"].role == "form"
    measured = {result.set for result in found.results if result.learner == "sasrec"}
    assert {"summary", "summary-topk", "summary-hard", "full"} <= measured
    names = {plot.name for plot in found.plots}
    assert {"entropy", "making-score"} <= names
    curve = next(plot for plot in judged_curve(data).plots if plot.name == "steps-sasrec")
    assert [series.x for series in curve.series] == [(20.0, 40.0)] * 2
    assert sets["summary"].bytes > sets["full"].bytes
    assert any("Larger in bytes" in warning for warning in found.warnings)
    assert any("There are 30 items, so that HR@100 is 100 %" in warning for warning in found.warnings)


def test_teacher_s_labels_when_asked_for_then_stand_beside_the_summary_with_their_own_bytes(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("worker.kinds.sequences.teacher.STEPS", (40, 80))
    monkeypatch.setattr("worker.kinds.sequences.teacher.DROPOUT", (0.2,))
    monkeypatch.setattr("worker.kinds.sequences.learners.sasrec.LIMIT", 120)
    data = planted(150)
    summary = random_sequences(data, SelectParams(budget=30), Context())
    found = judged(
        data, summary, learners=["sasrec"], baselines=["random", "teacher-labels"], steps=160, seeds=1, draws=1
    )
    values = {r.set: float(np.mean(r.scores["test"]["ndcg@10"])) for r in found.results if r.learner == "sasrec"}
    sets = {one.name: one for one in found.sets}
    assert sets["teacher-labels"].rows == 30
    assert sets["teacher-labels"].bytes > sets["summary"].bytes
    assert values["teacher-labels"] > values["random"] + 0.03  # soft labels are worth more than what happened


def test_teacher_when_a_resumed_attempt_asks_again_then_is_the_same_without_training(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("worker.kinds.sequences.teacher.DROPOUT", (0.2,))
    monkeypatch.setattr("worker.kinds.sequences.learners.sasrec.LIMIT", 80)
    data, ctx = planted(50), Context(seed=3)
    first = teach(data, ctx)
    monkeypatch.setattr("worker.kinds.sequences.teacher.Fitting", None)
    second = teach(data, ctx)
    rows = data.training().rows
    assert first.labelled(rows, 20).digest() == second.labelled(rows, 20).digest()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sampled_negatives": 100}, "not served"),
        ({"metric": "hr@5"}, "needs its list length"),
        ({"k": [5]}, "needs 10 in k"),
        ({"learners": ["ease"]}, "learners"),
    ],
)
def test_evaluation_when_asked_for_what_is_not_served_then_is_refused(asked: dict[str, Any], said: str):
    with pytest.raises(ValidationError, match=said):
        evaluate_params()(**asked)


def test_learners_when_they_do_not_fit_the_data_then_the_refusal_names_those_that_do():
    data = planted(40)
    summary = random_sequences(data, SelectParams(budget=5), Context())
    with pytest.raises(JobError, match="causal LM does not learn from events") as refused:
        judged(data, summary, learners=["causal-lm"])
    assert "sasrec" in refused.value.hint
    with pytest.raises(JobError, match="not a metric of events"):
        judged(data, summary, metric="perplexity")


def test_data_when_nothing_is_held_out_then_judging_is_refused():
    rows = planted(30).rows
    data = Sequences.of(rows, 30, np.zeros(len(rows.items)), options={"content": "events"})
    with pytest.raises(JobError, match="nothing can be measured"):
        judged(data, random_sequences(data, SelectParams(budget=5), Context()), learners=["markov"])


def test_evaluate_when_the_summary_is_of_another_dataset_or_the_data_of_another_sort_then_is_refused():
    data, other = planted(40), planted(40, items=40)
    summary = random_sequences(other, SelectParams(budget=5), Context())
    ctx = Context(inputs={"summary": [summary]}, evaluate=evaluate_params()(**QUICK))
    with pytest.raises(JobError, match="not over the 30 items"):
        next_event(data, None, ctx)
    with pytest.raises(JobError, match="no text"):
        perplexity(data, None, ctx)


def test_privacy_when_rows_are_real_then_says_so_and_when_they_are_not_counts_what_they_share():
    data = planted(40)
    real = random_sequences(data, SelectParams(budget=10), Context())
    said = {row.label: row for row in nearest_rows(data, real, seed=0)}
    same = said["Rows identical to a real training sequence"]
    assert same.value == 100
    assert same.note == "the summary consists of real sequences"
    made = real.__class__(Rows.of([[0, 29, 0, 28]]), data.vocabulary, 20)
    rows = {row.label: row.value for row in nearest_rows(data, made, seed=0)}
    assert rows["Rows identical to a real training sequence"] == 0
    assert rows["Transitions shared with the nearest real sequence, median"] < 50


def test_weights_when_sequences_have_them_then_teacher_and_proxy_are_trained_as_on_repeated_ones(
    monkeypatch: pytest.MonkeyPatch,
):
    seen: list[Any] = []

    def fit(self: Any, settings: Any, ctx: Any) -> Any:
        seen.append(self.data.weight)
        raise JobError("diverged", "seen enough")

    monkeypatch.setattr("worker.kinds.sequences.fitting.Fitting.fit", fit)
    data = planted(30)
    data = replace(data, weights=np.arange(1, 31, dtype=np.float32))
    for train in (lambda: teach(data, Context()), lambda: loss(data, LossParams(budget=5), Context())):
        with pytest.raises(JobError, match="seen enough"):
            train()
    rows = data.training().rows
    for weight in seen:
        assert weight.tolist() == np.repeat(data.weights, rows.lengths - 1).tolist()
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("named", "text", "floors"),
    [("gru4rec", False, {"popularity", "last-item", "markov"}), ("lstm", True, {"unigram", "bigram"})],
)
def test_learners_when_no_floor_is_named_then_the_floors_are_trained_all_the_same(
    named: str, text: bool, floors: set[str]
):
    assert set(evaluate_params()(learners=[named]).of(text=text).learners) == {named, *floors}
