"""Estimates end to end in memory: the verdict's rule, what is left out and why, and intervals that hold."""

from __future__ import annotations

import io
import json
import typing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from tests.planted_bandit import tiny_bandit
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.evidence.report import build
from worker.kinds.bandit import canonical, policies
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation.params import EstimateParams, EstimatorName
from worker.kinds.bandit.methods.log_diagnostics import LogDiagnosticsParams, log_diagnostics
from worker.kinds.bandit.methods.policy_convolution import policy_convolution
from worker.kinds.bandit.support import support_of


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> BanditLog:
    return canonical.load(tiny_bandit(tmp_path_factory.mktemp("log"), rounds=2000))


def run(log: BanditLog, ctx: Context | None = None, **params: typing.Any) -> typing.Any:
    return policy_convolution(log, EstimateParams(**params), ctx or Context())


def test_estimate_when_every_estimator_is_asked_for_then_each_is_there_or_says_why_not(log):
    names = list(typing.get_args(EstimatorName))
    found = run(log, estimators=names)
    estimates = json.loads(found.files["estimates.json"])["targets"]["target"]
    there = {row["estimator"] for row in estimates["estimates"]}
    assert set(names) <= there | set(estimates["left_out"])
    assert not estimates["left_out"]
    values = [row["value"] for row in estimates["estimates"]]
    assert np.all(np.isfinite(values))


def test_verdict_when_the_target_is_better_then_says_so_and_holds_the_truth(log):
    found = run(log)
    target = found.verdict.details["targets"][0]
    assert found.verdict.status == "better"
    assert target["low"] < log.truth.value(log.targets["target"]) < target["high"]


def test_verdict_when_two_policies_are_swapped_then_is_worse(log):
    swapped = replace(log, targets={"greedy on what pays least": _worst(log)})
    assert run(swapped).verdict.status == "worse"


def test_verdict_when_the_policy_ess_is_below_one_then_the_logs_cannot_tell(log):
    # A logging policy that almost never does what the target does.
    rare = np.full((log.logging.table.n_rows, log.n_actions), 1e-7)
    rare[:, 0] = 1 - rare[:, 1:].sum(axis=1)
    logging = policies.dense(rare, log.logging.index)
    action = np.zeros(log.n, np.int32)
    blind = replace(log, logging=logging, action=action, propensity=logging.at(action))
    found = run(blind)
    target = found.verdict.details["targets"][0]
    assert found.verdict.status == "cannot_tell"
    assert target["reliability"] == "red"
    assert "fewer than one" in found.verdict.sentence
    assert "not reliable" in found.verdict.sentence
    assert found.tone == "open"


def test_verdict_when_a_tenth_was_never_possible_then_bounds_decide_or_nothing_does(log):
    logging = _without_action(log, 3)
    possible = replace(log, logging=logging, propensity=logging.at(log.action)).take(np.flatnonzero(log.action != 3))
    found = run(possible, targets=["uniform"])
    mine = found.verdict.details["targets"][0]
    if mine["over_logging_low"] > 0 and mine["p"] < 0.02:
        assert possible.truth.value(policies.uniform(possible.n, log.n_actions)) > possible.truth.value(
            possible.logging
        )
    else:
        assert found.verdict.status == "cannot_tell"
    assert "never possible" in found.verdict.sentence
    assert found.verdict.value is None
    assert found.verdict.low < found.verdict.high
    support = next(table for table in found.tables if table.name == "support")
    row = support.rows[0]
    assert row["mass"] == pytest.approx(100 / log.n_actions, rel=1e-6)
    assert row["low"] < row["high"]


def test_estimate_without_the_logging_policy_then_plain_estimators_remain_and_the_report_says_so(log):
    bare = replace(log, logging=None)
    found = run(bare)
    estimates = json.loads(found.files["estimates.json"])["targets"]["target"]
    assert set(estimates["left_out"]) == {"pc_snips", "pc_sndr"}
    assert any("logging policy" in warning for warning in found.warnings)
    assert found.verdict.details["targets"][0]["policy_ess"] is None


@pytest.mark.parametrize(
    ("changes", "params", "code"),
    [
        ({"logging": None}, {"convolution": "knn"}, "logging_policy_required"),
        ({"embeddings": None, "hierarchy": None}, {"convolution": "ball"}, "embedding_required"),
        ({}, {"targets": ["nobody"]}, "target_policy_required"),
        ({"targets": {}}, {}, "target_policy_required"),
        ({}, {"ci": "hoeffding", "estimators": ["ips"]}, "weights_bound_required"),
        ({"reward_range": None}, {"ci": "bernstein", "estimators": ["ips"], "w_max": 50}, "reward_bounds_required"),
        ({}, {"reward_model": "logistic", "r_min": 0, "r_max": 5}, "single_class_reward"),
        ({"user": None}, {"cluster_by": "user"}, "invalid_params"),
        ({}, {"r_min": 0.5, "r_max": 0.6}, "invalid_params"),
        ({}, {"convolution": "knn", "selection": "fixed", "tau_target": 0}, "invalid_params"),
        ({}, {"convolution": "knn", "tau_logging": 2.5}, "invalid_params"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_estimate_when_something_is_missing_then_the_problem_names_it_and_the_cure(log, changes, params, code):
    changed = replace(log, **changes)
    if code == "single_class_reward":
        changed = replace(log, reward=np.ones(log.n))
    if code == "reward_bounds_required":
        changed = replace(changed, reward=log.reward * 3.7 - 1)
    with pytest.raises(JobError) as caught:
        run(changed, **params)
    assert caught.value.code == code
    assert caught.value.hint


@pytest.mark.parametrize("ci", ["normal", "student", "bootstrap", "floored", "bernstein", "hoeffding"])
def test_interval_of_every_kind_holds_its_estimate(log, ci):
    found = run(log, ci=ci, w_max=200, r_min=0, r_max=1, bootstrap=100, estimators=["ips", "snips"])
    for row in json.loads(found.files["estimates.json"])["targets"]["target"]["estimates"]:
        assert row["low"] < row["value"] < row["high"]


def test_smoothing_when_fixed_then_stands_in_the_table_and_both_sides_may_differ(log):
    found = run(log, convolution="knn", selection="fixed", tau_target=3, tau_logging=5, estimators=["pc_snips"])
    row = json.loads(found.files["estimates.json"])["targets"]["target"]["estimates"][1]
    assert row["tau"] == {"target": 3.0, "logging": 5.0}


def test_rounds_when_asked_for_then_their_means_are_the_estimates(log):
    found = run(log, round_values=True)
    table = parquet.read_table(io.BytesIO(found.files["rounds.parquet"]))
    for row in json.loads(found.files["estimates.json"])["targets"]["target"]["estimates"]:
        column = table[f"target.{row['estimator']}"].to_numpy()
        assert column.mean() == pytest.approx(row["value"], abs=1e-9)


def test_report_when_built_then_carries_every_section(log, tmp_path: Path):
    report = build(run(log), {"method": "policy-convolution", "task": "estimate", "dataset": "ds_x@1", "seed": 0})
    report.write(tmp_path)
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert {"report.html", "report.md", "agreement.svg", "path-target.svg", "estimates.csv", "estimates.json"} <= names


def test_audit_when_propensities_are_too_small_then_calls_them_doubtful(log):
    wrong = replace(log, logging=None, propensity=log.propensity / 3)
    assert log_diagnostics(wrong, LogDiagnosticsParams(), Context()).verdict.status == "doubtful"


def test_round_weights_when_whole_then_equal_repeated_rounds(log):
    counts = np.random.default_rng(0).integers(1, 4, log.n)
    weighted = replace(log, weight=counts.astype(float))
    repeated = log.take(np.repeat(np.arange(log.n), counts))
    options: dict[str, typing.Any] = {"selection": "k5", "reward_model": "none", "estimators": ["ips", "snips"]}
    values = [
        {
            row["estimator"]: row["value"]
            for row in json.loads(one.files["estimates.json"])["targets"]["target"]["estimates"]
        }
        for one in (run(weighted, **options), run(repeated, **options))
    ]
    for name in ("ips", "snips"):
        assert values[0][name] == pytest.approx(values[1][name], rel=1e-12)


def _worst(log: BanditLog) -> policies.Policy:
    truth = log.truth
    return policies.epsilon_greedy(truth.values[truth.rows].argmin(axis=1), log.n_actions, 0.3)


def _without_action(log: BanditLog, action: int) -> policies.Policy:
    values = log.logging.table.dense(np.arange(log.logging.table.n_rows))
    values[:, action] = 0
    policy = policies.dense(values / values.sum(axis=1, keepdims=True), log.logging.index)
    assert not support_of(policy).complete
    return policy


def by_position(log: BanditLog, **params: typing.Any) -> tuple[list[typing.Any], typing.Any]:
    found = run(log, estimators=["snips"], **params)
    table = next((one for one in found.tables if one.name == "positions"), None)
    return json.loads(found.files["estimates.json"])["targets"]["target"]["positions"], table


@pytest.mark.parametrize("known", [True, False])
def test_positions_when_logged_then_each_is_what_its_own_rounds_alone_say(log, known):
    position = np.random.default_rng(0).integers(0, 3, log.n).astype(np.int32)
    placed = replace(log, position=position, reward=log.reward * (position == 0))
    placed = placed if known else replace(placed, logging=None)
    # At a fixed smoothing a log of the position's rounds alone must give the same.
    fixed = {"selection": "fixed", "tau_target": 3, "convolution": "knn"} if known else {}
    name = "pc_snips" if known else "snips"
    rows, table = by_position(placed, **fixed)
    assert [row["position"] for row in rows] == [0, 1, 2]
    assert len(table.rows) == 3
    for row in rows:
        rounds = np.flatnonzero(position == row["position"])
        alone = json.loads(run(placed.take(rounds), estimators=[name], **fixed).files["estimates.json"])
        want = alone["targets"]["target"]["estimates"][1]
        assert row["rounds"] == len(rounds)
        assert row["logged"] == pytest.approx(placed.reward[rounds].mean())
        assert row["interval"]["value"] == pytest.approx(want["value"], rel=1e-12)
        assert row["interval"]["low"] == pytest.approx(want["low"], rel=1e-9)
        assert row["worth"] == pytest.approx(want["policy_ess"] if known else want["ess"], rel=1e-9)
    assert rows[0]["interval"]["low"] > 0
    assert rows[1]["interval"]["value"] == rows[2]["logged"] == 0


def test_positions_when_few_rounds_or_too_many_positions_then_there_is_no_value(log):
    position = np.where(np.arange(log.n) < 20, 5, 1).astype(np.int32)
    rows, _ = by_position(replace(log, position=position))
    assert [(row["position"], row["rounds"], row["interval"] is None) for row in rows] == [
        (1, log.n - 20, False),
        (5, 20, True),
    ]
    for positions in (np.zeros(log.n, np.int32), np.arange(log.n, dtype=np.int32) % 51):
        assert by_position(replace(log, position=positions)) == ([], None)
