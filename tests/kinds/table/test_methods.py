"""The mathematics of the methods, against definitions and against other code."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import roc_auc_score

from tests.kinds.table.planted import customers_csv
from tests.kinds.table.uploaded import bundled, csv_file, ingested
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.table import selection
from worker.kinds.table.dataset import VALIDATION, Table
from worker.kinds.table.evolution import proxies
from worker.kinds.table.evolution.objective import soft_auc
from worker.kinds.table.evolution.search import changed, crossed
from worker.kinds.table.joint import boosted, joint, leaves
from worker.kinds.table.methods.auto import AutoParams, auto
from worker.kinds.table.methods.evolved_rows import EvolvedRowsParams, evolved_rows
from worker.kinds.table.methods.k_means import KMeansParams, k_means
from worker.kinds.table.methods.kip_fc import KipParams, kip_fc, predict
from worker.kinds.table.methods.random_rows import RandomParams, random_rows
from worker.kinds.table.selection import herding, k_center, medoids
from worker.kinds.table.strata import allocate, quantile_bins
from worker.numerics.ntk import ntk


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("customers")
    return ingested(customers_csv(folder / "a.csv", 900), folder / "v", columns={"label": "churn"})[0]


def points(n: int = 200, d: int = 3) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)


def test_budget_when_allocated_then_is_used_up_within_room_and_as_asked():
    masses, room = np.array([900.0, 90.0, 10.0]), np.array([900, 90, 10])
    assert allocate(masses, room, 30, "balanced").tolist() == [10, 10, 10]
    assert allocate(masses, room, 100, "proportional").tolist() == [90, 9, 1]
    assert allocate(masses, room, 90, "balanced").tolist() == [40, 40, 10]
    assert allocate(masses, room, 999, "sqrt").sum() == 999
    with pytest.raises(JobError, match="needs one"):
        allocate(masses, room, 2, "sqrt")


def test_quantile_bins_when_values_repeat_then_equal_values_share_a_bin():
    values = np.array([0.0] * 60 + list(range(1, 41)))
    found = quantile_bins(values, 5)
    assert len(set(found[:60])) == 1
    assert (np.diff(found[60:]) >= 0).all()


def test_herding_when_it_takes_rows_then_their_mean_is_nearer_than_random_ones():
    x, rng = points(), np.random.default_rng(1)
    rows = herding(x, np.ones(200), 20, rng)
    apart = np.linalg.norm(x[rows].mean(0) - x.mean(0))
    drawn = [np.linalg.norm(x[rng.permutation(200)[:20]].mean(0) - x.mean(0)) for _ in range(200)]
    assert len(set(rows)) == 20
    assert apart < np.quantile(drawn, 0.05)


def test_k_center_when_greedy_then_is_within_twice_the_best_radius():
    x = points(14, 2)
    rows = k_center(x, np.ones(14), 3, np.random.default_rng(0))

    def radius(centres: list[int]) -> float:
        return float(np.min(np.linalg.norm(x[:, None] - x[centres], axis=2), axis=1).max())

    best = min(radius(list(some)) for some in itertools.combinations(range(14), 3))
    assert radius(rows.tolist()) <= 2 * best + 1e-6


def test_medoids_when_clusters_are_plain_then_one_row_stands_for_each():
    x = np.concatenate([points(50) * 0.1 + 10 * place for place in range(4)]).astype(np.float32)
    rows = medoids(x, np.ones(200), 4, np.random.default_rng(0))
    assert sorted(rows // 50) == [0, 1, 2, 3]


def test_soft_auc_when_targets_are_hard_then_is_scikit_learns_and_when_soft_is_the_sum_over_pairs():
    rng = np.random.default_rng(0)
    score = np.round(rng.random(60), 1)
    hard = (rng.random(60) < 0.4).astype(float)
    assert soft_auc(hard, score) == pytest.approx(roc_auc_score(hard, score))
    soft = rng.random(60)
    pairs = [(i, j) for i in range(60) for j in range(60) if i != j]
    right = sum(soft[i] * (1 - soft[j]) * ((score[i] > score[j]) + 0.5 * (score[i] == score[j])) for i, j in pairs)
    assert soft_auc(soft, score) == pytest.approx(right / sum(soft[i] * (1 - soft[j]) for i, j in pairs))


def test_proxies_when_beside_scikit_learn_then_predict_about_as_well(table: Table):
    rows = np.concatenate([np.flatnonzero(table.train.y == at)[:60] for at in (0, 1)])
    asked = table.rows(np.flatnonzero(table.split > 0))
    x, y = table.train.x[rows], (table.train.y[rows] == 1).astype(np.float32)[:, None]
    cuts = proxies.Cuts.of(asked.x)
    above, below = cuts.table(x), cuts.table(asked.x)
    distance = ((asked.x[:, None] - x) ** 2).sum(axis=2)
    auc = {
        "linear": roc_auc_score(asked.y, proxies.linear(x, y, asked.x, logistic=True)[:, 0]),
        "neighbours": roc_auc_score(asked.y, proxies.neighbours(distance, y)[:, 0]),
        "boosted": roc_auc_score(asked.y, proxies.boosted(above, y, below, logistic=True)[:, 0]),
        "forest": roc_auc_score(asked.y, proxies.forest(above, y, below, np.random.default_rng(0))[:, 0]),
    }
    from worker.contract.learner import learners_of
    from worker.kinds.table.predictor import TrainingRows

    known = learners_of("table")
    for proxy, name, settings in (
        ("linear", "linear", {"c": 0.3}), ("boosted", "boosting", {"trees": 60, "leaves": 4, "min_leaf": 5}),
        ("forest", "random-forest", {"min_leaf": 2}), ("neighbours", "knn", {"times": 1.0}),
    ):  # fmt: skip
        prepare = known[name].prepare
        assert prepare is not None
        model = prepare(TrainingRows(table.train.take(rows), 2), None, Context()).fit(settings, Context())
        assert auc[proxy] == pytest.approx(roc_auc_score(asked.y, model(asked.x)[:, 1]), abs=0.04)


def test_sets_when_crossed_or_changed_then_keep_their_rows_of_every_class_and_none_twice():
    strata = np.repeat([0, 1, 2], 40)
    rng = np.random.default_rng(0)
    one, other = (np.sort(np.concatenate([rng.permutation(40)[:5] + 40 * at for at in range(3)])) for _ in range(2))
    for child in (crossed(one, other, strata, rng), changed(one, strata, 0.4, rng)):
        assert len(np.unique(child)) == 15
        assert np.bincount(strata[child]).tolist() == [5, 5, 5]
    assert set(crossed(one, other, strata, rng)) <= set(one) | set(other)
    assert len(set(changed(one, strata, 0.4, rng)) - set(one)) == 6


def test_leaves_when_added_up_then_are_what_the_teacher_says(table: Table):
    teacher = boosted(table.train, True, Context())
    found = leaves(teacher, table.train.x)
    base = teacher.decision_function(table.train.x) - found.sum(axis=1)
    assert found.shape == (len(table.train), 60)
    assert np.ptp(base) < 1e-4


def test_kernel_prediction_when_beside_scikit_learn_then_is_the_same():
    x, support = torch.from_numpy(points(30)), torch.from_numpy(points(12) * 1.5)
    labels = torch.from_numpy(points(12, 2))
    kernel = ntk(support)
    ridge = 0.01 * float(kernel.diagonal().mean())
    theirs = KernelRidge(alpha=ridge, kernel="precomputed").fit(kernel.numpy(), labels.numpy())
    expected = theirs.predict(ntk(x, support).numpy())
    assert predict(support, labels, x, 1, 0.01).numpy() == pytest.approx(expected, abs=1e-3)


def test_search_when_it_goes_on_then_never_loses_what_it_had_and_judges_are_no_candidates(table: Table):
    summary = evolved_rows(table, EvolvedRowsParams(budget=20, evaluations=60, judged_on=150), Context(seed=1))
    worths = [point["objective"] for point in summary.origin.curve]
    assert (np.diff(worths) >= 0).all()
    assert worths[-1] > worths[0]
    assert any("joint-herding is the safer choice" in warning for warning in summary.warnings)


def test_auto_when_the_table_is_small_then_is_joint_herding_and_says_why(table: Table):
    summary = auto(table, AutoParams(budget=20), Context())
    assert summary.origin.method == "joint-herding"
    assert "below 2,000" in summary.origin.reason


def test_regression_when_rows_are_searched_for_then_the_objective_is_r_squared(tmp_path: Path):
    data = bundled(tmp_path, "diabetes")
    summary = evolved_rows(data, EvolvedRowsParams(budget=20, evaluations=20, judged_on=80), Context())
    assert len(summary) == 20
    assert summary.origin.curve[-1]["objective"] < 1


def test_numbers_to_predict_when_scaled_and_moved_then_the_same_rows_are_found(tmp_path: Path):
    data = bundled(tmp_path, "diabetes")
    label = data.frame.column_names.index("label")
    moved = replace(data, frame=data.frame.set_column(label, "label", pa.array(1e8 + 4096 * data.target)))
    assert joint(moved, Context()) == pytest.approx(joint(data, Context()), abs=1e-3)
    params = EvolvedRowsParams(budget=20, evaluations=20, judged_on=80)
    one, other = evolved_rows(data, params, Context()), evolved_rows(moved, params, Context())
    worths = ([point["objective"] for point in found.origin.curve] for found in (one, other))
    assert next(worths) == pytest.approx(next(worths), abs=0.05)
    assert other.origin.curve[-1]["objective"] > 0.2


def test_rows_when_more_are_asked_for_than_a_picker_looks_at_then_come_all_the_same(
    table: Table, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(selection, "CANDIDATES", 30)
    assert len(np.unique(random_rows(table, RandomParams(budget=100), Context()).rows)) == 100
    assert len(k_means(table, KMeansParams(budget=100), Context())) == 100


def test_columns_that_never_vary_when_rows_are_searched_for_then_are_no_obstacle(tmp_path: Path):
    given = {"x": ["1"] * 200, "label": [("no", "yes")[place % 2] for place in range(200)]}
    data, _ = ingested(csv_file(tmp_path / "a.csv", given), tmp_path / "v")
    summary = evolved_rows(data, EvolvedRowsParams(budget=10, evaluations=12, judged_on=50), Context())
    assert len(summary) == 10
    assert summary.origin.curve[-1]["objective"] == pytest.approx(0.5)


def test_learned_rows_when_the_table_is_sorted_by_class_then_are_chosen_on_rows_of_both(
    table: Table, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("worker.kinds.table.methods.kip_fc.MOST_VALIDATION", 40)
    order = np.argsort(table.target, kind="stable")
    data = replace(table, frame=table.frame.take(pa.array(order)), split=table.split[order])
    assert len(np.unique(data.part(VALIDATION).y[:40])) == 1
    summary = kip_fc(data, KipParams(budget=10, steps=20), Context())
    assert min(point["validation"] for point in summary.origin.curve) > 0.4
