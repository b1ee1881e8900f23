from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from benchmarks.off_policy.environments import large_actions, suite_world
from benchmarks.off_policy.suite import population_ess
from worker.contract.errors import JobError
from worker.kinds.bandit.convolution import FAMILIES, convolution
from worker.kinds.bandit.convolution.policy_ess import policy_ess
from worker.kinds.bandit.convolution.tree import TreePath, tree
from worker.kinds.bandit.convolution.weights import PathWeights, path_weights
from worker.kinds.bandit.estimators.importance import ips, snips
from worker.kinds.bandit.estimators.per_round import PerRound, Terms
from worker.kinds.bandit.policies import Policy, SparseTable, dense
from worker.kinds.bandit.reward_models import evidence_ridge
from worker.kinds.bandit.selection.default import select
from worker.kinds.bandit.selection.evidence_path import path_value
from worker.kinds.bandit.selection.slope import along_path, half_width, slope, slope_pp

THETA, WIDTH = np.array([1.0, 1.1, 1.6, 2.5]), np.array([0.8, 0.5, 0.3, 0.1])


def test_slope_on_the_worked_example_takes_the_third_candidate():
    assert slope(THETA, WIDTH) == 2
    assert slope_pp(THETA, WIDTH) == 2


def test_slope_when_the_second_candidate_fails_returns_the_first():
    theta, width = np.array([0.0, 5.0, 0.1]), np.array([0.5, 0.4, 0.3])
    assert slope(theta, width) == 0
    assert slope_pp(theta, width) == 0


def test_slope_when_none_fails_returns_the_last():
    assert slope(np.zeros(4), WIDTH) == 3
    assert slope_pp(np.zeros(4), WIDTH) == 3


def test_half_width_when_rewards_are_a_mean_is_students():
    values = np.array([0.2, 1 / 6, 0.375, 1.0]) * np.array([1, 0, 1, 0.5])
    assert half_width(PerRound(np.zeros(4), values)) == pytest.approx(0.3458470841044114, abs=1e-12)
    weights = np.array([0.2, 1 / 6, 0.375, 1.0])
    ratio = PerRound(np.zeros(4), values, weights)
    assert half_width(ratio) == pytest.approx(1.959963984540054 * 0.12939526678690344, abs=1e-12)


def test_slope_when_estimates_are_ratios_sorts_by_width_and_keeps_order_for_means():
    rng = np.random.default_rng(0)
    reward = rng.random(400)
    weights = [np.ones(400), rng.exponential(size=400) ** 3, rng.exponential(size=400)]
    widest_first = [snips(Terms(reward, w)) for w in weights]
    assert along_path(widest_first, "slope_pp") == 0  # the narrowest comes last and nothing disagrees with it
    means = [ips(Terms(reward, w)) for w in (weights[0], weights[2], weights[2])]
    assert along_path(means, "slope") == 2


def test_path_value_on_the_worked_example_is_its_value_and_deviation():
    found = path_value(
        np.array([0.9, 0.8, 0.7, 0.5]),
        np.array([0.2, 0.1, 0.05, 0.02]),
        np.array([0, -0.05, -0.1, -0.3]),
        np.array([2.0, 8, 40, 400]),
        0.999 * np.eye(4) + 0.001 * np.eye(4),
        0.2,
    )
    assert found.value == pytest.approx(0.821484, abs=1e-5)
    assert found.sd == pytest.approx(0.099772, abs=1e-5)
    assert found.pull.sum() == pytest.approx(1.0, abs=1e-9)


def test_path_value_when_all_estimates_agree_is_that_value():
    rng = np.random.default_rng(1)
    weights = rng.exponential(size=(5, 300))
    shared = np.corrcoef(weights) * 0.999 + 0.001 * np.eye(5)
    found = path_value(np.full(5, 0.37), rng.uniform(0.01, 0.2, 5), np.zeros(5), np.geomspace(1, 500, 5), shared, 0.1)
    assert found.value == pytest.approx(0.37, abs=1e-10)


def test_policy_ess_when_target_is_the_logging_policy_is_the_number_of_rounds():
    log = large_actions(30, 0).log(500, 0)
    for family in FAMILIES:
        path = convolution(family, log.embeddings)
        np.testing.assert_allclose(policy_ess(path, log.logging, log.logging), 500, rtol=1e-9)
        sampled = policy_ess(path, log.logging, log.logging, exact=False)
        np.testing.assert_allclose(sampled, 500, rtol=0.03)


def test_policy_ess_of_groups_equals_the_sum_over_their_masses():
    world = large_actions(30, 0)
    log = world.log(500, 0)
    path = convolution("tree", log.embeddings)
    assert isinstance(path, TreePath)
    contexts = np.arange(200, dtype=np.int32)
    found = policy_ess(path, dense(world.pi, contexts), dense(world.mu, contexts))
    for level, groups in enumerate(path.labels):
        pi, mu = (
            np.array([p[:, groups == g].sum(axis=1) for g in range(groups.max() + 1)]).T for p in (world.pi, world.mu)
        )
        assert found[level] == pytest.approx(200 / (pi**2 / mu).sum(axis=1).mean(), rel=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_policy_ess_when_actions_are_sampled_is_near_the_exact_one(family):
    world = large_actions(200, 0)
    log = world.log(2_000, 0)
    path = convolution(family, log.embeddings)
    exact = policy_ess(path, log.targets["target"], log.logging, exact=True)
    sampled = policy_ess(path, log.targets["target"], log.logging, exact=False)
    np.testing.assert_allclose(sampled, exact, rtol=0.1)


def test_policy_ess_when_the_log_never_tries_what_the_target_takes_is_zero():
    mu = np.array([[0.5, 0.0, 0.3, 0.2]])
    pi = np.array([[0.1, 0.4, 0.2, 0.3]])
    path = tree(hierarchy=np.array([[0, 0, 1, 1]]))
    index = np.zeros(100, np.int32)
    for exact in (True, False):
        found = policy_ess(path, dense(pi, index), dense(mu, index), exact=exact)
        assert found[0] == 0
        # Groups have the masses (.5, .5) in both policies: the weight is one wherever the log can be.
        assert found[1] == pytest.approx(100, rel=1e-9 if exact else 0.1)


def test_policy_ess_of_groups_when_policies_list_their_actions_is_that_of_whole_rows():
    world = large_actions(60, 0)
    path = convolution("tree", world.e.astype(np.float32))
    pi, mu = (np.where(p > np.quantile(p, 0.6, axis=1)[:, None], p, 0.0) for p in (world.pi, world.mu))
    pi, mu = pi / pi.sum(axis=1, keepdims=True), mu / mu.sum(axis=1, keepdims=True)
    index = np.arange(200, dtype=np.int32)
    listed = (Policy(SparseTable(sparse.csr_array(p)), index) for p in (pi, mu))
    whole = policy_ess(path, dense(pi, index), dense(mu, index))
    np.testing.assert_allclose(policy_ess(path, *listed), whole, rtol=1e-12)
    assert whole[0] == 0 < whole[-1]


def test_policy_ess_when_rounds_repeat_counts_their_worth_once():
    log = large_actions(30, 0).log(300, 0)
    path = convolution("tree", log.embeddings)
    plain = policy_ess(path, log.targets["target"], log.logging)
    equal = policy_ess(path, log.targets["target"], log.logging, weight=np.full(300, 7.0))
    np.testing.assert_allclose(equal, plain, rtol=1e-9)


def chosen(n_actions: int, n: int, seed: int, family="tree", mismatch="S", **options):
    world = suite_world(n_actions, seed, "bilinear", mismatch)
    log = world.log(n, seed)
    target = log.targets["target"]
    weights = path_weights(convolution(family, log.embeddings), log, target)
    model = evidence_ridge.fit(log, np.arange(n))
    terms = Terms(log.reward, weights.weight[0], model.at(np.arange(n), log.action), model.under(target, np.arange(n)))
    return world, weights, terms, select(weights, terms, reward_range=(0.0, 1.0), **options)


def test_default_when_the_policy_ess_is_healthy_stays_within_one_standard_error_of_snips():
    moved: list[float] = []
    for seed in range(5):
        _, weights, terms, found = chosen(20, 6_000, seed)
        assert weights.pess[0] >= 1_000
        plain = snips(replace(terms, weight=weights.weight[0]))
        moved.append(abs(found.value - plain.value) / plain.se)
    assert float(np.sqrt(np.mean(np.square(moved)))) <= 1.0


def test_selected_estimate_carries_rounds_whose_mean_is_its_value_and_the_whole_path():
    _, weights, _, found = chosen(200, 2_000, 1, mismatch="L")
    assert found.influence.mean() == pytest.approx(found.value, abs=1e-12)
    assert found.se > 0
    assert sorted(found.parts) == ["pc_sndr_k10", "pc_snips_k5", "v_path"]
    assert found.path.taus == weights.taus
    for name in ("pc_ips", "pc_snips", "pc_dr", "pc_sndr"):
        assert found.path.theta[name].shape == found.path.se[name].shape == weights.pess.shape
    assert found.path.bias is not None
    assert min(found.parts.values()) <= found.value <= max(found.parts.values())


def test_path_value_when_chosen_has_rounds_that_average_to_it():
    world = large_actions(100, 3)
    log = world.log(3_000, 1)
    target = log.targets["target"]
    weights = path_weights(convolution("knn", log.embeddings), log, target)
    dm = np.full(log.n, 0.5)
    found = select(weights, Terms(log.reward, weights.weight[0], dm, dm), switch=True)
    forced = replace(found, influence=found.influence)
    assert forced.influence.mean() == pytest.approx(found.value, abs=1e-9)


def test_default_when_every_reward_is_the_same_returns_it():
    _, weights, terms, _ = chosen(50, 500, 0)
    same = replace(terms, reward=np.full(500, 0.25))
    for rule in ("policy_ess", "k5", "slope", "slope_pp", "mse"):
        assert select(weights, replace(same, q_logged=same.reward, dm=same.reward), rule=rule).value == pytest.approx(
            0.25
        )


def test_default_when_rewards_are_shifted_and_scaled_moves_with_them():
    _, weights, terms, found = chosen(200, 2_000, 1, mismatch="L")
    moved = replace(terms, reward=4 + 3 * terms.reward, q_logged=4 + 3 * terms.q_logged, dm=4 + 3 * terms.dm)
    again = select(weights, moved, reward_range=(4.0, 7.0))
    assert again.value == pytest.approx(4 + 3 * found.value, abs=1e-9)


def test_default_when_there_is_no_reward_model_is_pc_snips_at_the_least_smoothing():
    _, weights, terms, _ = chosen(200, 1_000, 2, mismatch="L")
    found = select(weights, replace(terms, q_logged=None, dm=None))
    level = int(np.flatnonzero(weights.pess >= 5)[0])
    assert found.levels == {"chosen": level}
    assert found.value == pytest.approx(snips(replace(terms, weight=weights.weight[level])).value)


def test_rules_when_the_path_is_the_unsmoothed_estimator_alone_return_it():
    _, weights, terms, _ = chosen(50, 800, 0)
    alone = weights.take(np.array([0]))
    plain = snips(replace(terms, weight=weights.weight[0])).value
    bare = replace(terms, q_logged=None, dm=None)
    for rule in ("policy_ess", "k5", "slope", "slope_pp", "mse", "fixed"):
        assert select(alone, bare, rule=rule).value == pytest.approx(plain)
    whole = select(alone, terms)
    assert set(whole.levels.values()) == {0}


def test_default_when_the_log_is_worth_fifty_rounds_of_the_target_then_is_snips_to_the_bit():
    _, weights, terms, _ = chosen(50, 800, 0)
    assert weights.pess[0] >= 50, "the environment should be a healthy one"
    assert select(weights, terms).value == snips(replace(terms, weight=weights.weight[0])).value


def test_mse_rule_when_smoothing_changes_the_estimate_much_does_not_smooth():
    rng = np.random.default_rng(0)
    n = 5_000
    plain = np.where(rng.random(n) < 0.5, 2.0, 0.0)
    reward = (plain > 0).astype(np.float64)
    weights = PathWeights("tree", (2.0, 1.0), (2.0, 1.0), np.stack([plain, np.ones(n)]), np.array([n / 2, n]))
    found = select(weights, Terms(reward, plain), rule="mse", estimator="pc_ips")
    assert found.levels == {"chosen": 0}


def test_slope_when_the_grid_is_free_in_two_directions_is_refused():
    _, weights, terms, _ = chosen(50, 300, 0)
    free = replace(weights, logging_taus=weights.logging_taus[::-1])
    with pytest.raises(JobError) as caught:
        select(free, terms, rule="slope")
    assert caught.value.code == "invalid_request"


def test_population_policy_ess_equals_that_of_a_long_log():
    world = suite_world(50, 0, "bilinear", "M")
    path = convolution("tree", world.e.astype(np.float32))
    log = world.log(40_000, 0)
    np.testing.assert_allclose(
        population_ess(path, world, 40_000), policy_ess(path, log.targets["target"], log.logging), rtol=0.05
    )


def test_evidence_ridge_when_rewards_are_bilinear_takes_that_form_and_averages_it_exactly():
    world = large_actions(60, 1, bias="embedding")
    log = world.log(3_000, 0)
    model = evidence_ridge.fit(log, np.arange(log.n))
    assert model.form == "bilinear"
    target = log.targets["target"]
    some = np.array([5, 17, 2_400])
    every = np.arange(60)
    by_hand = [target.dense(np.array([i]))[0] @ model.at(np.full(60, i), every) for i in some]
    np.testing.assert_allclose(model.under(target, some), by_hand, rtol=1e-10)
    fit = np.corrcoef(model.at(np.arange(log.n), log.action), world.q[log.rows, log.action])[0, 1]
    assert fit > 0.9


@pytest.mark.parametrize("form", ["linear", "cosines"])
def test_evidence_ridge_when_rewards_have_another_form_finds_it(form):
    world = large_actions(60, 1)
    log = world.log(4_000, 0)
    x, e = log.x, log.embeddings[log.action]
    curve = np.cos(1.3 * x[:, 0] + 1.1 * e[:, 1] + e[:, 2]) if form == "cosines" else x[:, 0] + e[:, 1]
    noise = np.random.default_rng(0).normal(size=log.n)
    model = evidence_ridge.fit(replace(log, reward=curve + 0.3 * noise), np.arange(log.n))
    assert model.form == form
    target = log.targets["target"]
    every = np.arange(60)
    by_hand = target.dense(np.array([9]))[0] @ model.at(np.full(60, 9), every)
    assert model.under(target, np.array([9]))[0] == pytest.approx(by_hand, rel=1e-9)


def test_evidence_ridge_when_cross_fitted_predicts_rounds_without_their_fold():
    log = replace(large_actions(40, 2).log(600, 0), user=np.repeat(np.arange(100), 6).astype(np.int32))
    target = log.targets["target"]
    found = evidence_ridge.crossfit(log, log.targets, folds=3)
    assert found.folds == 3
    held = np.flatnonzero(found.fold == 1)
    kept = np.flatnonzero(found.fold != 1)
    moved = replace(log, reward=np.where(found.fold == 1, 1 - log.reward, log.reward))
    again = evidence_ridge.crossfit(moved, log.targets, folds=3)
    if evidence_ridge.fit(moved, np.arange(600)).form == evidence_ridge.fit(log, np.arange(600)).form:
        np.testing.assert_allclose(again.q_logged[held], found.q_logged[held], atol=1e-9)
    assert np.abs(again.q_logged[kept] - found.q_logged[kept]).max() > 1e-3
    i = held[3]
    by_hand = target.dense(np.array([i]))[0] @ found.models[1].at(np.full(40, i), np.arange(40))
    assert found.dm["target"][i] == pytest.approx(by_hand, rel=1e-9)


def test_evidence_ridge_when_a_weight_stands_for_repeats_fits_as_if_they_were_there():
    log = large_actions(40, 2, bias="embedding").log(400, 0)
    weight = np.random.default_rng(0).integers(1, 4, log.n)
    repeated = np.repeat(np.arange(log.n), weight)
    heavy = evidence_ridge.fit(log, np.arange(log.n), weight=weight.astype(np.float64))
    long = evidence_ridge.fit(log, repeated)
    assert np.corrcoef(heavy.at(np.arange(400), log.action), long.at(np.arange(400), log.action))[0, 1] > 0.98
