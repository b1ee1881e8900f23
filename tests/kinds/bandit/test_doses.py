"""Estimates on doses: obp's values, limits, refusals, and no verdict better than the truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.kinds.bandit.planted_doses import draw, upload, world
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit import structures
from worker.kinds.bandit.continuous.bandwidth import without_square
from worker.kinds.bandit.continuous.kernels import KERNELS, kernel_weights
from worker.kinds.bandit.continuous.params import ContinuousEstimateParams
from worker.kinds.bandit.estimators import importance
from worker.kinds.bandit.estimators.per_round import Terms
from worker.kinds.bandit.ingest import ingest
from worker.kinds.bandit.methods.auto import AutoParams, auto
from worker.kinds.bandit.methods.continuous_estimate import continuous_estimate
from worker.kinds.bandit.stepwise import importance as steps
from worker.kinds.bandit.stepwise.importance import Estimate

GOLDEN = json.loads((Path(__file__).parent / "obp_structured.json").read_text())
OPTIONS = {"structure": "doses", "r_min": 0, "r_max": 1}


@pytest.mark.parametrize("row", GOLDEN["dose_values"], ids=lambda row: f"{row['kernel']}-{row['bandwidth']}")
def test_estimators_when_given_obps_log_then_give_its_values(row):
    given = GOLDEN["doses"]
    reward, dose, target, model = (
        np.array(given[f"{name}_tenths"]) / 10.0 for name in ("reward", "dose", "target", "predicted")
    )
    density = np.array(given["density_hundredths"]) / 100.0
    weight = kernel_weights(dose, target, density, row["bandwidth"], row["kernel"])[:, None]
    assert steps.plain(weight, reward[:, None]).value == pytest.approx(row["ipw"], abs=1e-12)
    assert steps.self_normalised(weight, reward[:, None]).value == pytest.approx(row["snipw"], abs=1e-12)
    # obp takes one prediction a round for both places; ours has one at the logged dose and one at the target's.
    robust = steps.doubly_robust(weight, reward[:, None], model[:, None], model[:, None])
    assert robust.value == pytest.approx(row["dr"], abs=1e-12)


@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_kernels_when_integrated_then_are_symmetric_densities(kernel):
    u = np.linspace(-8, 8, 32_001)
    values = KERNELS[kernel](u)
    assert values.sum() * (u[1] - u[0]) == pytest.approx(1, abs=1e-3)
    assert values == pytest.approx(values[::-1], abs=1e-12)


def test_doses_that_repeat_then_a_narrow_box_is_the_estimator_of_discrete_actions():
    rng = np.random.default_rng(0)
    chance = np.array([0.2, 0.5, 0.3])
    action = rng.choice(3, 500, p=chance)
    target, reward = rng.integers(0, 3, 500), rng.random(500)
    h = 0.01  # a box of this bandwidth around a dose holds that dose alone, so its density is mass / (2 h)
    weight = kernel_weights(action.astype(float), target.astype(float), chance[action] / (2 * h), h, "uniform")
    terms = Terms(reward, (target == action) / chance[action])
    assert weight == pytest.approx(terms.weight, rel=1e-12)
    assert steps.plain(weight[:, None], reward[:, None]).value == pytest.approx(importance.ips(terms).value, rel=1e-12)


def test_bias_that_goes_with_the_square_then_is_taken_off():
    found = without_square(Estimate(1 + 0.1**2, np.array([1.01])), Estimate(1 + 0.2**2, np.array([1.04])))
    assert found.value == pytest.approx(1, abs=1e-12)
    assert found.influence == pytest.approx([1.0], abs=1e-12)


def test_upload_when_read_back_then_values_hold_the_truth_and_the_report_names_the_bias(tmp_path):
    rng = np.random.default_rng(0)
    at = world(rng)
    out = tmp_path / "canonical"
    out.mkdir()
    log = draw(rng, at, at.best, 2500)
    said = ingest(upload(tmp_path, log), OPTIONS, out, Context())
    assert said["detection"]["columns"]["dose"] == "bid"
    assert said["statistics"]["targets"] == {"doses": ["fixed"], "densities": ["drawn"]}
    data = structures.load(out)
    assert np.array_equal(data.density, log.density)
    found = continuous_estimate(data, ContinuousEstimateParams(), Context())
    by_name = {one["name"]: one for one in found.verdict.details["targets"]}
    assert by_name["fixed"]["low"] <= at.value(at.best) <= by_name["fixed"]["high"]
    assert by_name["fixed"]["status"] == by_name["drawn"]["status"] == "better"
    assert "smooth" in by_name["fixed"]["sentence"]
    assert "smooth" not in by_name["drawn"]["sentence"]
    assert "the bandwidth is" in found.because
    bias = json.loads(found.files["estimates.json"])["targets"]["fixed"]["bias"]
    assert bias["value"] < 0, "around its best dose a bump is higher than what surrounds it"
    assert auto(data, AutoParams(), Context()).verdict == found.verdict


def claims(seed: int, logs: int, rounds: int, *, null: bool) -> dict[str, float]:
    """Shares of verdicts, and how often the intervals hold the value and the gain."""
    counts = {"better": 0, "worse": 0, "cannot_tell": 0, "value": 0, "gain": 0}
    for number in range(logs):
        rng = np.random.default_rng([seed, number])
        at = world(rng)
        target = at.null(rng.choice([-1, 1], len(at.best))) if null else at.best + 0.1
        params = ContinuousEstimateParams(targets=["fixed"], reward_model="none", gamma=1)
        found = continuous_estimate(draw(rng, at, target, rounds), params, Context())
        said, truth = found.verdict.details["targets"][0], at.value(target)
        counts[said["status"]] += 1
        counts["value"] += said["low"] <= truth <= said["high"]
        counts["gain"] += said["over_logging_low"] <= truth - at.logged() <= said["over_logging_high"]
    return {name: count / logs for name, count in counts.items()}


def test_target_that_gains_nothing_then_hardly_ever_called_better_or_worse():
    found = claims(1, 50, 2000, null=True)
    assert found["better"] <= 0.02, found
    assert found["worse"] <= 0.02, found
    assert found["gain"] >= 0.92, found
    assert found["value"] >= 0.88, found


def test_target_that_is_better_then_seen_and_its_value_covered():
    found = claims(2, 15, 2000, null=False)
    assert found["better"] >= 0.8, found
    assert found["value"] >= 0.8, found


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("density,", "thickness,", "unknown_column"),
        (",0.", ",-0.", "propensity_nonpositive"),
        ("target_density_drawn", "target_density_fixed", "invalid_input"),
    ],
)
def test_columns_when_missing_or_impossible_then_refused_with_a_cure(tmp_path, old, new, code):
    rng = np.random.default_rng(0)
    at = world(rng)
    upload(tmp_path, draw(rng, at, at.best, 50))
    text = (tmp_path / "log.csv").read_text()
    (tmp_path / "log.csv").write_text(text.replace(old, new))
    (tmp_path / "out").mkdir()
    with pytest.raises(JobError) as refused:
        ingest([("log.csv", tmp_path / "log.csv")], OPTIONS, tmp_path / "out", Context())
    assert refused.value.code == code
    assert refused.value.hint


def test_rewards_when_outside_the_declared_range_then_refused():
    rng = np.random.default_rng(0)
    at = world(rng)
    with pytest.raises(JobError) as refused:
        continuous_estimate(draw(rng, at, at.best, 100), ContinuousEstimateParams(r_max=0.5), Context())
    assert refused.value.pointer == "/params/r_max"


def test_target_beyond_all_logged_doses_then_cannot_tell():
    rng = np.random.default_rng(0)
    at = world(rng)
    log = draw(rng, at, at.best, 500)
    far = replace(log, doses={"fixed": np.full(log.n, 50.0)}, densities={})
    verdict = continuous_estimate(far, ContinuousEstimateParams(), Context()).verdict
    assert verdict.status == "cannot_tell"
    assert verdict.settled_by


def test_gain_when_the_mean_weight_came_out_above_one_then_lies_in_its_interval():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        at = world(rng)
        found = continuous_estimate(
            draw(rng, at, at.best, 60), ContinuousEstimateParams(bandwidth=0.2, reward_model="none"), Context()
        )
        for one in found.verdict.details["targets"]:
            assert one["over_logging_low"] <= one["over_logging"] <= one["over_logging_high"]
            assert one["value"] is None or one["low"] <= one["value"] <= one["high"]
