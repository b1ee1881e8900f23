"""Estimates on trajectories: scope-rl's and the paper's values, identities, and no verdict better than the truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.kinds.bandit.planted_trajectories import draw, policies, upload, world
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit import structures
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimators import doubly_robust, importance
from worker.kinds.bandit.estimators.per_round import Terms
from worker.kinds.bandit.ingest import ingest
from worker.kinds.bandit.methods.auto import AutoParams, auto
from worker.kinds.bandit.methods.policy_convolution import policy_convolution
from worker.kinds.bandit.methods.sequential_estimate import sequential_estimate
from worker.kinds.bandit.policies import DenseTable, Policy
from worker.kinds.bandit.sequential.magic import blend, magic, returns
from worker.kinds.bandit.sequential.params import SequentialEstimateParams
from worker.kinds.bandit.stepwise import importance as steps
from worker.kinds.bandit.stepwise.fitted_q import fitted_q

GOLDEN = json.loads((Path(__file__).parent / "scope_rl.json").read_text())


def golden(discount: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """scope-rl's inputs as weights, discounted rewards, and discounted Q and V."""
    given = GOLDEN["inputs"]
    action, reward = np.array(given["action"]), np.array(given["reward_tenths"]) / 10.0
    logging, target = (np.array(given[name], float) for name in ("logging", "target"))
    logging, target = (table / table.sum(axis=2, keepdims=True) for table in (logging, target))
    q, scale = np.array(given["predicted_tenths"]) / 10.0, discount ** np.arange(action.shape[1])

    def at(table: np.ndarray) -> np.ndarray:
        return np.take_along_axis(table, action[:, :, None], 2)[:, :, 0]

    weight = steps.up_to_each(at(target) / at(logging))
    return weight, reward * scale, at(q) * scale, (target * q).sum(axis=2) * scale


@pytest.mark.parametrize("row", GOLDEN["values"], ids=lambda row: str(row["discount"]))
def test_estimators_when_given_scope_rls_log_then_give_its_values(row):
    weight, reward, logged, expected = golden(row["discount"])
    whole = np.repeat(weight[:, -1:], weight.shape[1], axis=1)
    found = {
        "tis": steps.plain(whole, reward),
        "pdis": steps.plain(weight, reward),
        "sntis": steps.self_normalised(whole, reward),
        "snpdis": steps.self_normalised(weight, reward),
        "dr": steps.doubly_robust(weight, reward, logged, expected),
        "wdr": steps.weighted_doubly_robust(weight, reward, logged, expected),
    }
    # scope-rl adds 1e-10 to mean weights before it divides by them.
    assert {name: one.value for name, one in found.items()} == pytest.approx(row["scope_rl"], abs=1e-8)
    for one in found.values():
        assert one.influence.mean() == pytest.approx(one.value, abs=1e-12)


@pytest.mark.parametrize("row", GOLDEN["values"], ids=lambda row: str(row["discount"]))
def test_magic_when_given_the_papers_sums_then_gives_its_returns_and_blend(row):
    given = golden(row["discount"])
    pieces, influence = returns(*given)
    assert pieces.sum(axis=0) == pytest.approx(row["paper"]["returns"], abs=1e-12)
    assert influence.mean(axis=0) == pytest.approx(row["paper"]["returns"], abs=1e-12)
    assert pieces.sum(axis=0)[-1] == pytest.approx(steps.weighted_doubly_robust(*given).value, abs=1e-12)
    found, shares = magic(*given)
    assert found.value == pytest.approx(row["paper"]["magic"], abs=1e-5)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-8)


def test_blend_when_the_model_is_far_off_then_takes_the_log_alone():
    rng = np.random.default_rng(0)
    sampled = rng.normal(1.0, 1.0, 500) / 500
    far = np.full(500, 9.0) / 500
    near = np.full(500, 1.0) / 500
    assert blend(np.stack([far, sampled], axis=1), sampled * 500)[1] == pytest.approx(1, abs=1e-3)
    assert blend(np.stack([near, sampled], axis=1), sampled * 500)[1] <= 0.01


def test_one_step_then_every_estimator_is_that_of_rounds():
    weight, reward, logged, expected = (table[:, :1] for table in golden(1.0))
    terms = Terms(reward[:, 0], weight[:, 0], logged[:, 0], expected[:, 0])
    for mine, theirs in (
        (steps.plain(weight, reward), importance.ips(terms)),
        (steps.self_normalised(weight, reward), importance.snips(terms)),
        (steps.doubly_robust(weight, reward, logged, expected), doubly_robust.dr(terms)),
        (steps.weighted_doubly_robust(weight, reward, logged, expected), doubly_robust.sndr(terms)),
    ):
        assert mine.value == pytest.approx(theirs.value, abs=1e-13)
        assert mine.influence == pytest.approx(theirs.influence, abs=1e-11)


def test_doubly_robust_when_unrolled_then_is_the_recursion_of_jiang_and_li():
    weight, reward, logged, expected = golden(1.0)
    ratio = weight / steps.before_each(weight)
    after = np.zeros(len(weight))
    for step in range(weight.shape[1] - 1, -1, -1):
        after = expected[:, step] + ratio[:, step] * (reward[:, step] + after - logged[:, step])
    assert steps.doubly_robust(weight, reward, logged, expected).value == pytest.approx(after.mean(), abs=1e-12)


@pytest.mark.parametrize("model", ["linear", "gbdt"])
def test_fitted_q_when_the_states_say_all_then_comes_near_the_true_value(model):
    rng = np.random.default_rng(3)
    at = world(rng)
    logging, target = policies(rng, at, null=False)
    data = draw(rng, at, logging, target, 2000)
    found = fitted_q(data.log, data.layout, data.log.targets["target"], model, 2, discount=0.9, ctx=Context())
    assert found.expected[:, 0].mean() == pytest.approx(at.value(target, 0.9), abs=0.06)
    assert (found.logged[~data.layout.present] == 0).all()


def test_upload_when_read_back_then_values_hold_the_truth_of_every_estimator(tmp_path):
    rng = np.random.default_rng(4)
    at = world(rng)
    logging, target = policies(rng, at, null=False)
    out = tmp_path / "canonical"
    out.mkdir()
    options = {"structure": "trajectories", "r_min": 0, "r_max": 1}
    said = ingest(upload(tmp_path, draw(rng, at, logging, target, 1500)), options, out, Context())
    assert said["statistics"]["trajectories"] == 1500
    assert said["statistics"]["steps"]["most"] == 4
    data = structures.load(out)
    found = sequential_estimate(data, SequentialEstimateParams(), Context())
    truth = at.value(target)
    labels = {row["estimator"] for row in found.tables[1].rows if row["target"] == "whole"}
    assert labels == {"WDR", "DR", "MAGIC", "FQE", "SNPDIS", "PDIS", "SNTIS", "TIS"}
    for row in found.tables[1].rows:
        if row["target"] != "Logging policy" and row["estimator"] != "FQE":
            assert row["low"] - 0.02 <= truth <= row["high"] + 0.02, row
    for one in found.verdict.details["targets"]:
        assert one["low"] <= truth <= one["high"]
        assert one["over_logging_low"] <= truth - at.value(logging) <= one["over_logging_high"]
    assert auto(data, AutoParams(), Context()).verdict == found.verdict
    with pytest.raises(JobError) as refused:
        policy_convolution(data, EstimateParams(), Context())
    assert "sequential-estimate" in refused.value.hint


def claims(seed: int, logs: int, trajectories: int, *, null: bool, whole: bool, ends: float = 0.1) -> dict[str, float]:
    """Shares of verdicts, and how often the intervals hold the value and the gain."""
    counts = {"better": 0, "worse": 0, "cannot_tell": 0, "value": 0, "gain": 0}
    for number in range(logs):
        rng = np.random.default_rng([seed, number])
        at = world(rng, ends=ends)
        logging, target = policies(rng, at, null=null)
        data = draw(rng, at, logging, target, trajectories, whole=whole)
        params = SequentialEstimateParams(gamma=1, folds=2)
        said = sequential_estimate(data, params, Context()).verdict.details["targets"][0]
        truth, gain = at.value(target), at.value(target) - at.value(logging)
        counts[said["status"]] += 1
        counts["value"] += said["low"] <= truth <= said["high"]
        counts["gain"] += said["over_logging_low"] <= gain <= said["over_logging_high"]
    return {name: count / logs for name, count in counts.items()}


@pytest.mark.parametrize("whole", [False, True])
def test_target_that_gains_nothing_then_hardly_ever_called_better_or_worse(whole):
    found = claims(1, 40, 400, null=True, whole=whole)
    assert found["better"] <= 0.025, found
    assert found["worse"] <= 0.025, found
    assert found["gain"] >= 0.92, found
    assert found["value"] >= 0.88, found


def test_target_that_is_better_then_seen_where_the_logging_policy_is_known():
    found = claims(2, 15, 1000, null=False, whole=True)
    assert found["better"] >= 0.7, found
    assert found["worse"] == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: [row for row in rows if ",1," not in row[:6]], "lacks a row before step 2"),
        (lambda rows: [*rows, rows[0]], "has two rows for step 0"),
        (lambda rows: rows[1:], "begins at step 1, others at 0"),
        (lambda rows: [rows[0].replace(",0,", ",0.5,", 1), *rows[1:]], "not a whole number"),
    ],
)
def test_steps_when_missing_double_or_broken_then_refused(tmp_path, change, says):
    rng = np.random.default_rng(0)
    at = world(rng, ends=0.0)
    upload(tmp_path, draw(rng, at, *policies(rng, at, null=False), 20))
    head, *rows = (tmp_path / "log.csv").read_text().splitlines()
    (tmp_path / "log.csv").write_text("\n".join([head, *change(rows)]))
    (tmp_path / "out").mkdir()
    with pytest.raises(JobError) as refused:
        ingest([("log.csv", tmp_path / "log.csv")], {"structure": "trajectories"}, tmp_path / "out", Context())
    assert says in refused.value.detail
    assert refused.value.hint


def test_few_users_then_cannot_tell():
    rng = np.random.default_rng(1)
    at = world(rng)
    data = draw(rng, at, *policies(rng, at, null=False), 500)
    users = replace(data, users=True, log=replace(data.log, user=(data.trajectory % 3).astype(np.int32)))
    verdict = sequential_estimate(users, SequentialEstimateParams(q_model="none"), Context()).verdict
    assert verdict.status == "cannot_tell"
    assert "fewer than five users acted" in verdict.reasons


def test_logging_policy_when_it_is_not_the_one_that_chose_then_red():
    rng = np.random.default_rng(1)
    at = world(rng)
    logging, target = policies(rng, at, null=False)
    data = draw(rng, at, logging, target, 1000, whole=True)
    other = Policy(DenseTable(0.5 * logging + 0.5 / logging.shape[1]), data.log.rows)
    wrong = replace(data, log=replace(data.log, logging=other, propensity=other.at(data.log.action)))
    said = sequential_estimate(wrong, SequentialEstimateParams(q_model="none"), Context()).verdict.details["targets"][0]
    assert said["reliability"] == "red"
    assert said["status"] == "cannot_tell"
    assert any("logging policy says" in reason for reason in said["reasons"])
