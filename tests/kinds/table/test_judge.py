"""Judging: every learner learns from a summary, the cheap picks stand beside it, and the report says what was done."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.kinds.table.uploaded import bundled, csv_file, ingested
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import NoParams
from worker.contract.learner import learners_of
from worker.evidence.measurements import Measurements
from worker.evidence.report import build
from worker.evidence.statistics import value_of
from worker.kinds.table.dataset import TEST, TRAIN
from worker.kinds.table.judge import evaluate_params, judge
from worker.kinds.table.methods.evaluate import evaluate
from worker.kinds.table.methods.joint_herding import JointHerdingParams, joint_herding
from worker.kinds.table.methods.random_rows import RandomParams, random_rows
from worker.kinds.table.metrics import measure
from worker.kinds.table.predictor import TrainingRows
from worker.kinds.table.privacy import privacy


def judged(data: object, budget: int, **params: object) -> Measurements:
    """Joint herding of a table, judged."""
    summary = joint_herding(data, JointHerdingParams(budget=budget), Context(seed=1))
    return judge(data, [summary], evaluate_params()(bootstrap=100, **params), Context(seed=1))


def figure(found: Measurements, learner: str, name: str) -> float:
    """The primary metric of a learner on a set, averaged."""
    return float(np.mean([value_of(one.scores["test"][found.primary]) for one in found.of(learner, name)]))


@pytest.mark.parametrize(
    ("name", "budget", "metric", "chance", "learners"),
    [
        ("breast_cancer", 20, "auc", 0.5, ("linear", "random-forest")),
        ("wine", 15, "balanced_accuracy", 1 / 3, ("linear", "knn")),
        ("diabetes", 60, "r2", 0.0, ("linear", "knn", "mlp")),
    ],
)
def test_summary_when_judged_then_none_falls_to_chance_and_alternatives_stand_beside(
    tmp_path: Path, name: str, budget: int, metric: str, chance: float, learners: tuple[str, ...]
):
    found = judged(bundled(tmp_path, name), budget, draws=1, learners=[*learners, "majority"])
    assert found.primary == metric
    for learner in learners:
        assert figure(found, learner, "summary") > chance + 0.1
    assert figure(found, "majority", "full") == pytest.approx(chance, abs=0.06)
    sets = {one.name: one for one in found.sets}
    assert {one.method for one in found.sets if one.role == "baseline"} == {"random", "k-medoids"}
    assert sets["random"].rows == sets["k-medoids"].rows == budget


def test_weights_when_classes_are_unequal_then_are_a_form_that_lowers_log_loss(tmp_path: Path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2_000, 3))
    label = x[:, 0] + rng.standard_normal(2_000) > 2.2
    columns = {f"x{place}": x[:, place] for place in range(3)} | {"label": label.astype(str)}
    data, _ = ingested(csv_file(tmp_path / "a.csv", columns), tmp_path / "v")
    found = judged(data, 40, learners=["linear", "majority"], draws=2)
    losses = {one.set: value_of(one.scores["test"]["log_loss"]) for one in found.results if one.learner == "linear"}
    assert losses["summary-weighted"] < losses["summary"]
    assert next(one for one in found.sets if one.name == "summary-weighted").of == "summary"


def test_report_when_built_then_says_the_verdict_the_protocol_and_an_attack(tmp_path: Path):
    found = judged(bundled(tmp_path, "breast_cancer"), 20, learners=["linear", "majority"], draws=2)
    report = json.loads(build(found, {"method": "joint-herding", "task": "select", "kind": "table"}).json_text())
    assert "keeps" in report["verdict"]["sentence"]
    assert {"fidelity", "sizes", "columns", "privacy"} <= {table["name"] for table in report["tables"]}
    assert "as many rows of every class" in report["protocol"]["text"]


def test_measure_when_beside_scikit_learn_then_is_the_same():
    from sklearn import metrics

    rng = np.random.default_rng(0)
    y, said = rng.integers(0, 3, 200), rng.dirichlet([1, 1, 1], 200)
    found = {name: value_of(scores) for name, scores in measure(said, y, 3).items()}
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(y, said.argmax(1)))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(y, said.argmax(1)))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(y, said))
    number, guess = rng.random(50), rng.random(50)
    assert value_of(measure(guess, number, 0)["r2"]) == pytest.approx(metrics.r2_score(number, guess))
    two, score = rng.integers(0, 2, 80), rng.random(80)
    auc = value_of(measure(np.column_stack([1 - score, score]), two, 2)["auc"])
    assert auc == pytest.approx(metrics.roc_auc_score(two, score))


@pytest.mark.parametrize("name", ["linear", "knn", "random-forest", "boosting", "mlp", "majority"])
def test_learner_when_a_class_is_missing_or_alone_then_still_gives_a_probability_to_each(tmp_path: Path, name: str):
    rows = bundled(tmp_path, "wine").train
    learner = learners_of("table")[name]
    assert learner.prepare is not None
    for kept in ([0, 2], [1]):
        some = rows.take(np.flatnonzero(np.isin(rows.y, kept))[:25])
        model = learner.prepare(TrainingRows(some, 3), None, Context()).fit(learner.settings[0], Context())
        said = model(rows.x)
        assert said.shape == (len(rows), 3)
        assert said.sum(axis=1) == pytest.approx(1)
        assert said[:, [at for at in range(3) if at not in kept]].max() == 0


@pytest.mark.parametrize("name", ["linear", "knn", "random-forest", "boosting", "mlp", "majority"])
def test_learner_when_rows_count_by_weights_then_the_heavier_class_is_likelier(tmp_path: Path, name: str):
    rows = bundled(tmp_path, "breast_cancer").train
    learner = learners_of("table")[name]
    assert learner.prepare is not None
    means: list[float] = []
    for heavy in (1.0, 20.0):
        weight = np.where(rows.y == 1, heavy, 1.0)
        given = type(rows)(rows.x[:, :2], rows.y, weight / weight.mean())
        model = learner.prepare(TrainingRows(given, 2), None, Context()).fit(learner.settings[-1], Context())
        means.append(float(model(given.x)[:, 1].mean()))
    assert means[1] > means[0] + 0.02


def test_privacy_when_rows_are_real_then_says_that_they_equal_real_rows(tmp_path: Path):
    data = bundled(tmp_path, "wine")
    rows = {one.label: one for one in privacy(data, random_rows(data, RandomParams(budget=15), Context()), seed=0)}
    assert rows["Rows equal to a real row in every feature"].value == 100
    attack = rows["Membership attack on rows: AUC, 0.5 is guessing"]
    assert attack.low is not None
    assert attack.high is not None
    assert attack.low < 0.5 < attack.high


def test_table_without_test_rows_when_judged_then_says_what_to_do(tmp_path: Path):
    from worker.kinds.table import dataset

    data = bundled(tmp_path, "wine")
    summary = random_rows(data, RandomParams(budget=15), Context())
    summary.write(tmp_path, data)
    version = dataset.load(tmp_path / "dataset")
    with pytest.raises(JobError, match="no test rows"):
        judge(version, [summary], evaluate_params()(), Context())


@pytest.mark.parametrize("label", ["two classes", "three classes", "numbers"])
def test_table_in_which_nothing_can_be_learned_when_judged_without_its_floor_then_is_undetermined(
    tmp_path: Path, label: str
):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3))
    noise = {
        "two classes": rng.integers(0, 2, 400),
        "three classes": rng.integers(0, 3, 400),
        "numbers": rng.standard_normal(400),
    }[label]
    columns = {f"x{place}": x[:, place] for place in range(3)} | {"label": noise}
    data, _ = ingested(csv_file(tmp_path / "a.csv", columns), tmp_path / "v")
    found = judged(data, 30, learners=["linear"], draws=1)
    assert {one.name for one in found.learners} == {"linear", "majority"}
    report = json.loads(build(found, {"method": "joint-herding", "task": "select", "kind": "table"}).json_text())
    assert report["verdict"]["sentence"].startswith("Undetermined")


def test_evaluate_when_a_summary_keeps_rows_that_this_version_holds_out_then_is_refused(tmp_path: Path):
    data = bundled(tmp_path, "wine")
    turned = replace(data, split=np.where(data.split == TRAIN, TEST, TRAIN).astype(np.int8))
    ctx = Context(inputs={"summary": [random_rows(data, RandomParams(budget=20), Context())]})
    with pytest.raises(JobError, match="20 rows of a summary are held out") as refused:
        evaluate(turned, NoParams(), ctx)
    assert refused.value.pointer == "/inputs/summary"
