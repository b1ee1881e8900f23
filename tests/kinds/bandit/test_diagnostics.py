"""Diagnostics of weights: worked values, the traffic light, deficient support and heavy tails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worker.kinds.bandit.diagnostics import (
    calibration,
    check_logging,
    diagnose,
    effective_size,
    hill,
    log_histogram,
    reliability,
)
from worker.kinds.bandit.estimators.per_round import Terms


def made_up(n: int = 5000, seed: int = 0):
    rng = np.random.default_rng(seed)
    mu, pi = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    action = np.searchsorted(np.cumsum(mu)[:-1], rng.random(n))
    return Terms((rng.random(n) < 0.3).astype(float), (pi / mu)[action]), mu[action]


def test_effective_size_of_the_worked_log_equals_the_worked_value():
    assert effective_size(np.array([0.2, 1 / 6, 0.375, 1.0])) == pytest.approx(2.5102580311476355, abs=1e-12)


def test_healthy_log_is_green_with_its_numbers():
    terms, propensity = made_up()
    found = diagnose(terms, propensity, n_actions=3, policy_ess=3500.0, unsupported=np.zeros(5000))
    assert found.reliability == "green"
    assert found.mean_weight_low < 1 < found.mean_weight_high
    assert found.logging.supported_actions == pytest.approx(3, abs=0.1)
    assert found.max_weight == 2.5
    assert found.quantiles == {"0.5": 0.4, "0.9": 2.5, "0.99": 2.5, "0.999": 2.5}
    assert found.unsupported_mass == 0
    assert found.ess_share == pytest.approx(found.ess / 5000)
    assert sum(found.weights.counts) == 5000
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("ess", "ok", "light"),
    [(150, True, "green"), (150, False, "yellow"), (99, True, "yellow"), (5, True, "yellow"), (4.9, True, "orange"),
     (1, False, "orange"), (0.99, True, "red"), (0, True, "red")],
)  # fmt: skip
def test_light_follows_policy_ess_and_mean_weight(ess, ok, light):
    assert reliability(ess, mean_weight_ok=ok) == light


def test_light_uses_the_policies_where_known_and_not_the_sample():
    terms, propensity = made_up()
    assert diagnose(terms, propensity, policy_ess=0.2).reliability == "red"
    assert diagnose(terms, propensity, policy_ess=200.0).reliability == "green"


def test_light_when_only_propensities_are_known_or_they_are_doubted_then_is_never_green():
    terms, propensity = made_up()
    assert diagnose(terms, propensity).reliability == "yellow"
    assert diagnose(terms, propensity, policy_ess=200.0, doubts=("actions off",)).reliability == "red"
    assert any("actions off" in text for text in diagnose(terms, propensity, doubts=("actions off",)).warnings)


def test_light_when_decisions_are_missing_in_the_log_then_is_orange_at_best():
    terms, propensity = made_up()
    short = replace(terms, weight=0.9 * terms.weight)
    for found in (
        diagnose(short, propensity, policy_ess=3000.0, unsupported=np.full(5000, 0.1)),
        diagnose(short, propensity),
        diagnose(terms, propensity, never_logged_mass=0.02),
    ):
        assert found.missing_mass > 0.01
        assert found.reliability == "orange"


def test_mean_weight_when_weights_are_heavy_and_right_then_is_hardly_ever_flagged():
    rng = np.random.default_rng(5)
    mu = np.array([0.96, 0.02, 0.015, 0.005])
    pi = np.array([0.25, 0.25, 0.25, 0.25])
    spread = float((pi**2 / mu).sum() - 1)
    flagged = 0
    for _ in range(200):
        action = rng.choice(4, 300, p=mu)
        terms = Terms(np.ones(300), (pi / mu)[action])
        flagged += not diagnose(terms, mu[action], policy_ess=50.0, spread=spread).mean_weight_ok
    assert flagged <= 2


def test_deficient_support_shows_in_mean_weight_and_mass():
    terms, propensity = made_up()
    short = replace(terms, weight=0.475 * terms.weight)
    unsupported = np.random.default_rng(1).choice([0.05, 1.0], 5000)
    found = diagnose(short, propensity, unsupported=unsupported, never_logged_mass=0.1)
    assert not found.mean_weight_ok
    assert found.missing_mass == found.unsupported_mass == pytest.approx(unsupported.mean())
    assert found.unsupported is not None
    assert sum(found.unsupported.counts) == 5000
    assert len(found.warnings) == 2
    assert found.reliability == "orange"


def test_one_tiny_propensity_is_reported_as_heavy_tail_and_capped():
    propensity = np.full(10_000, 1 / 34)
    plain = check_logging(propensity, 34)
    assert plain.supported_actions == pytest.approx(34, rel=1e-12)
    assert not plain.heavy_tailed
    propensity[7] = 1e-6
    found = check_logging(propensity, 34)
    assert found.supported_actions > 130
    assert found.robust == pytest.approx(34, rel=1e-9)
    assert found.heavy_tailed
    assert found.largest_share > 0.7


def test_deterministic_log_and_impossible_propensities_are_named():
    terms, propensity = made_up()
    assert any("deterministic" in text for text in diagnose(terms, np.ones(5000)).warnings)
    assert check_logging(propensity / 10, 3).above_catalogue
    assert not check_logging(propensity, 3).above_catalogue


def test_hill_index_of_a_pareto_tail_is_its_exponent():
    rng = np.random.default_rng(2)
    for exponent in (1.2, 3.0):
        found = hill(rng.pareto(exponent, 200_000) + 1)
        assert found == pytest.approx(exponent, rel=0.05)
    assert hill(np.ones(50)) is None


def test_share_of_the_largest_weights_counts_what_they_carry():
    weight = np.concatenate([np.full(990, 0.1), np.full(10, 90.1)])
    terms = Terms(np.ones(1000), weight)
    found = diagnose(terms, np.full(1000, 0.5))
    assert found.top_weight_share == pytest.approx(901 / 1000, rel=1e-9)
    assert found.top_share == pytest.approx(901 / 1000, rel=1e-9)
    assert found.zero_share == 0


def test_reward_by_decile_follows_the_weights():
    weight = np.arange(1.0, 1001)
    found = diagnose(Terms(weight / 1000, weight), np.full(1000, 0.5))
    np.testing.assert_allclose(found.reward_by_decile, np.arange(10) / 10 + 0.0505, atol=1e-9)


def test_calibration_of_a_true_model_lies_on_the_diagonal():
    rng = np.random.default_rng(4)
    p = rng.random(50_000)
    found = np.array(calibration(p, (rng.random(50_000) < p).astype(float)))
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=0.03)
    np.testing.assert_allclose(found[:, 2], 5000)
    doubled = np.array(calibration(p[:100], p[:100], np.full(100, 2.0)))
    assert doubled[:, 2].sum() == 200


def test_histogram_counts_zeros_below_its_axis():
    found = log_histogram(np.array([0, 0, 0.1, 1.0, 100.0]), np.ones(5))
    assert found.below == 2
    assert sum(found.counts) == 3
    assert found.edges[0] == pytest.approx(0.1)
    assert found.edges[-1] == pytest.approx(100)
    assert log_histogram(np.zeros(3), np.ones(3)).below == 3


def test_diagnostics_on_integer_round_weights_equal_those_of_repeated_rounds():
    terms, propensity = made_up(300)
    counts = np.random.default_rng(3).integers(1, 4, 300)
    long = diagnose(Terms(*(np.repeat(v, counts) for v in (terms.reward, terms.weight))), np.repeat(propensity, counts))
    short = diagnose(replace(terms, rounds=counts.astype(float)), propensity)
    for name in ("rounds", "mean_weight", "mean_weight_high", "ess", "zero_share", "missing_mass"):
        assert getattr(short, name) == pytest.approx(getattr(long, name), rel=1e-12), name
    assert short.quantiles == long.quantiles
    assert short.logging.supported_actions == pytest.approx(long.logging.supported_actions, rel=1e-12)
    np.testing.assert_allclose(short.weights.counts, long.weights.counts)
