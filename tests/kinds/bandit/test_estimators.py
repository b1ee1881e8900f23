"""Estimators against worked values, their limits and identities, and unbiasedness by simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worker.kinds.bandit.estimators import ESTIMATORS
from worker.kinds.bandit.estimators.doubly_robust import direct_method, dr, dr_os, offcem, sndr, switch_dr
from worker.kinds.bandit.estimators.group_ips import group_mass, group_weight
from worker.kinds.bandit.estimators.importance import clipped_ips, ips, snips
from worker.kinds.bandit.estimators.per_round import Terms
from worker.kinds.bandit.estimators.subgaussian import power_mean, sg_dr, sg_ips
from worker.kinds.bandit.policies import dense, epsilon_greedy, uniform

MU = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5]])
PI = np.array([[0.1, 0.1, 0.8], [0.6, 0.3, 0.1], [0.3, 0.3, 0.4], [0, 0.5, 0.5]])
A = np.array([0, 2, 1, 2])
R = np.array([1, 0, 1, 0.5])
Q = np.array([[0.6, 0.2, 0.5], [0.1, 0.4, 0.3], [0.2, 0.9, 0.5], [0.3, 0.1, 0.7]])
E = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
ROUNDS = np.arange(4)
TERMS = Terms(R, PI[ROUNDS, A] / MU[ROUNDS, A], Q[ROUNDS, A], (PI * Q).sum(axis=1))


def kernel(normalize: str) -> np.ndarray:
    squares = ((E[:, None] - E[None]) ** 2).sum(axis=2)
    k = np.exp(-squares / 2)
    return k / k.sum(axis=1, keepdims=True) if normalize == "mean" else k / k.sum(axis=0)


def smoothed(s: np.ndarray, target: bool = True) -> Terms:
    top = (PI @ s.T if target else PI)[ROUNDS, A]
    return replace(TERMS, weight=top / (MU @ s.T)[ROUNDS, A])


def neighbours(near: np.ndarray) -> np.ndarray:
    return near / near.sum(axis=1, keepdims=True)


DISTANCE = np.sqrt(((E[:, None] - E[None]) ** 2).sum(axis=2))
MASS, MEAN = smoothed(kernel("mass")), smoothed(kernel("mean"))
TREE = smoothed(np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]))


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (ips(TERMS), 0.26875),
        (clipped_ips(TERMS, 0.5), 0.20625),
        (snips(TERMS), 0.6172248803827751),
        (direct_method(TERMS), 0.405),
        (dr(TERMS), 0.371875),
        (sndr(TERMS), 0.3289234449760766),
        (switch_dr(TERMS, 0.5), 0.421875),
        (dr_os(TERMS, 1.0), 0.3952877851507989),
        (sg_ips(TERMS, 0.3), 0.3061740890688259),
        (sg_dr(TERMS, 0.3), 0.3761875843454791),
        (ips(MASS), 0.38215481368104576),
        (snips(MASS), 0.665466779354544),
        (dr(MASS), 0.39377095553975683),
        (sndr(MASS), 0.3854462595140206),
        (ips(MEAN), 0.36494173000803415),
        (ips(smoothed(kernel("mass"), target=False)), 0.34679887565969963),
        (ips(TREE), 0.35416666666666663),
        (snips(TREE), 0.68),
        (offcem(TREE), 0.38416666666666666),
        (sndr(TREE), 0.365),
        (ips(smoothed(np.full((3, 3), 1 / 3))), 0.625),
        (ips(smoothed(neighbours(DISTANCE <= 1))), 0.35416666666666663),
        (ips(smoothed(neighbours(DISTANCE <= 2))), 0.5),
        (ips(smoothed(neighbours(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1]])))), 0.3125),
    ],
)
def test_estimate_of_the_worked_log_equals_the_worked_value(estimate, expected):
    assert estimate.value == pytest.approx(expected, abs=1e-12)


def test_worked_log_has_the_worked_weights():
    np.testing.assert_allclose(TERMS.weight, [0.2, 1 / 6, 0.375, 1.0], atol=1e-15)
    assert TERMS.weight.mean() == pytest.approx(0.4354166666666667, abs=1e-15)


def test_group_weight_of_a_cut_equals_the_smoothed_weight_of_that_cut():
    found = group_weight(dense(MU), dense(PI), np.array([0, 0, 1]), A)
    np.testing.assert_allclose(found, [0.25, 1 / 6, 2 / 3, 1], atol=1e-15)
    np.testing.assert_allclose(found, TREE.weight, atol=1e-15)


@pytest.fixture
def terms():
    rng = np.random.default_rng(1)
    n = 400
    weight = rng.lognormal(0, 1.5, n) * (rng.random(n) < 0.9)
    return Terms(rng.normal(1, 1, n), weight, rng.normal(1, 0.5, n), rng.normal(1, 0.2, n))


def same(first, second):
    np.testing.assert_allclose(first.influence, second.influence, rtol=1e-12, atol=1e-12)


def test_hyper_parameters_at_their_ends_give_the_estimators_they_lead_to(terms):
    some = replace(terms, weight=terms.weight + 0.1)
    same(clipped_ips(terms, np.inf), ips(terms))
    same(switch_dr(some, 0.0), direct_method(some))
    same(switch_dr(terms, np.inf), dr(terms))
    same(dr_os(terms, 0.0), direct_method(terms))
    same(dr_os(terms, np.inf), dr(terms))
    same(sg_ips(terms, 0.0), ips(terms))
    same(sg_dr(terms, 0.0), dr(terms))
    np.testing.assert_allclose(sg_ips(some, 1.0).influence, some.reward)
    assert abs(dr_os(terms, 1e14).value - dr(terms).value) < 1e-6


def test_power_mean_of_order_minus_one_is_the_subgaussian_weight(terms):
    near = power_mean(terms.weight, 0.3, -1 + 1e-9)
    np.testing.assert_allclose(near, power_mean(terms.weight, 0.3), rtol=1e-6)
    np.testing.assert_allclose(power_mean(terms.weight, 0.3, 1e-9), power_mean(terms.weight, 0.3, 0.0), rtol=1e-6)


def test_estimators_without_a_model_reduce_to_weighting(terms):
    bare = replace(terms, q_logged=None, dm=None)
    same(dr(bare), ips(bare))
    same(sndr(bare), snips(bare))
    assert direct_method(bare).value == 0


def test_weights_of_one_average_the_rewards(terms):
    ones = replace(terms, weight=np.ones(len(terms.reward)))
    assert ips(ones).value == pytest.approx(terms.reward.mean(), abs=1e-12)
    assert snips(ones).value == pytest.approx(terms.reward.mean(), abs=1e-12)
    assert dr(ones).value == pytest.approx((terms.dm + terms.reward - terms.q_logged).mean(), abs=1e-12)


def test_snips_when_rewards_are_scaled_and_shifted_follows_them(terms):
    base = snips(terms)
    moved = snips(replace(terms, reward=3 * terms.reward - 7))
    assert moved.value == pytest.approx(3 * base.value - 7, abs=1e-11)
    assert moved.se == pytest.approx(3 * base.se, rel=1e-11)
    same(snips(replace(terms, weight=5 * terms.weight)), base)


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_estimator_on_integer_round_weights_equals_repeated_rounds(terms, name):
    counts = np.random.default_rng(2).integers(1, 5, len(terms.reward))
    repeated = Terms(*(np.repeat(v, counts) for v in (terms.reward, terms.weight, terms.q_logged, terms.dm)))
    weighted = ESTIMATORS[name](replace(terms, rounds=counts.astype(float)))
    long = ESTIMATORS[name](repeated)
    assert weighted.value == pytest.approx(long.value, rel=1e-12)
    assert weighted.se == pytest.approx(long.se, rel=1e-12)


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_influence_of_every_estimator_averages_to_its_value(terms, name):
    estimate = ESTIMATORS[name](terms)
    assert estimate.influence.mean() == pytest.approx(estimate.value, rel=1e-12)
    assert estimate.self_normalised == ESTIMATORS[name].self_normalised


def test_snips_without_any_weight_is_zero(terms):
    assert snips(replace(terms, weight=np.zeros(len(terms.reward)))).value == 0


def test_snips_standard_error_matches_the_worked_value():
    spread = snips(TERMS).influence - snips(TERMS).value
    assert np.sqrt((spread**2).sum()) / 4 == pytest.approx(0.12939526678690344, abs=1e-12)
    assert ips(TERMS).se == pytest.approx(0.10867334463120813, abs=1e-12)


def test_deficient_support_when_enumerated_gives_the_worked_bias():
    mu = np.array([[0.5, 0.5, 0], [0, 0.4, 0.6], [1, 0, 0], [0.25, 0.25, 0.5]])
    i, a = np.nonzero(mu)
    rounds = mu[i, a]  # every possible round, with its probability
    weight = PI[i, a] / mu[i, a]
    estimate = ips(Terms(Q[i, a], weight, rounds=rounds))
    assert (PI * Q).sum(axis=1).mean() == pytest.approx(0.405, abs=1e-12)
    assert estimate.value == pytest.approx(0.1725, abs=1e-12)
    assert estimate.mean(weight) == pytest.approx(0.475, abs=1e-12)
    unsupported = (PI * (mu == 0)).sum(axis=1)
    np.testing.assert_allclose(unsupported, [0.8, 0.6, 0.7, 0], atol=1e-15)
    low, high = estimate.value, estimate.value + unsupported.mean()
    assert (low, high) == (pytest.approx(0.1725, abs=1e-12), pytest.approx(0.6975, abs=1e-12))
    assert estimate.value + 0.5 * unsupported.mean() == pytest.approx(0.435, abs=1e-12)


def simulate(logs: int, n: int, seed: int):
    """Logs of one context, three actions: actions (logs, n), rewards, and the true value."""
    rng = np.random.default_rng(seed)
    mu, pi, q = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5]), np.array([0.2, 0.5, 0.8])
    actions = np.searchsorted(np.cumsum(mu)[:-1], rng.random((logs, n)))
    rewards = (rng.random((logs, n)) < q[actions]).astype(float)
    return actions, rewards, (pi / mu)[actions], pi, q


def test_ips_and_dr_over_many_logs_are_unbiased_and_a_right_model_helps():
    actions, rewards, weights, pi, q = simulate(20_000, 50, 0)
    wrong = np.array([0.9, 0.1, 0.4])
    value = pi @ q
    flat = Terms(rewards.ravel(), weights.ravel())
    plain = ips(flat).influence.reshape(actions.shape).mean(axis=1)
    estimates = {"ips": plain}
    for name, model in (("wrong", wrong), ("exact", q)):
        whole = replace(flat, q_logged=model[actions].ravel(), dm=np.full(actions.size, pi @ model))
        estimates[name] = dr(whole).influence.reshape(actions.shape).mean(axis=1)
    for found in estimates.values():
        assert abs(found.mean() - value) < 4 * found.std() / np.sqrt(len(found))
    assert estimates["exact"].var() < 0.7 * estimates["ips"].var()


def test_cluster_weights_are_unbiased_where_single_actions_are_unsupported():
    mu, pi = np.array([[0.5, 0, 0.3, 0.2]]), np.array([[0.1, 0.4, 0.2, 0.3]])
    q, labels = np.array([0.7, 0.7, 0.2, 0.2]), np.array([0, 0, 1, 1])
    actions = np.array([0, 2, 3])
    index = np.zeros(3, np.int32)
    weight = group_weight(dense(mu, index), dense(pi, index), labels, actions)
    exact = ips(Terms(q[actions], weight, rounds=mu[0, actions]))
    plain = ips(Terms(q[actions], pi[0, actions] / mu[0, actions], rounds=mu[0, actions]))
    assert exact.value == pytest.approx(0.45, abs=1e-12)
    assert plain.value == pytest.approx(0.17, abs=1e-12)


def test_group_mass_is_the_same_for_every_form_of_a_policy(monkeypatch):
    rng = np.random.default_rng(3)
    n, n_actions = 60, 11
    labels, actions = rng.integers(0, 4, n_actions), rng.integers(0, n_actions, n)
    labels[:4] = np.arange(4)
    index = rng.integers(0, 7, n).astype(np.int32)
    greedy = epsilon_greedy(rng.integers(0, n_actions, 7), n_actions, 0.2, index)
    written = dense(greedy.dense(np.arange(n)))
    want = [written.dense(np.array([i]))[0, labels == labels[a]].sum() for i, a in enumerate(actions)]
    np.testing.assert_allclose(group_mass(greedy, labels, actions), want, atol=1e-12)
    unshared = epsilon_greedy(greedy.dense(np.arange(n)).argmax(axis=1), n_actions, 0.2)
    np.testing.assert_allclose(group_mass(unshared, labels, actions), want, atol=1e-12)
    grouped = dense(greedy.table.dense(np.arange(7)), index)
    np.testing.assert_allclose(group_mass(grouped, labels, actions), want, atol=1e-12)
    np.testing.assert_allclose(group_mass(written, labels, actions), want, atol=1e-12)
    size = np.bincount(labels)[labels[actions]] / n_actions
    np.testing.assert_allclose(group_mass(uniform(n, n_actions), labels, actions), size, atol=1e-12)
    monkeypatch.setattr("worker.kinds.bandit.estimators.group_ips.BLOCK_BYTES", 400)
    np.testing.assert_allclose(group_mass(grouped, labels, actions), want, atol=1e-12)
    np.testing.assert_allclose(group_mass(written, labels, actions), want, atol=1e-12)


def test_estimates_from_float32_policies_stay_within_a_hundred_thousandth():
    rng = np.random.default_rng(4)
    mu, pi = rng.dirichlet(np.ones(20), (2, 500))
    actions = rng.integers(0, 20, 500)
    reward = rng.random(500)
    wide = dense(pi).at(actions) / dense(mu).at(actions)
    narrow = dense(pi.astype(np.float32)).at(actions) / dense(mu.astype(np.float32)).at(actions)
    for estimator in (ips, snips):
        assert estimator(Terms(reward, narrow)).value == pytest.approx(estimator(Terms(reward, wide)).value, rel=1e-5)


def test_registry_names_every_estimator_a_job_may_ask_for():
    asked = "dm ips cips snips dr sndr switch dros sgips sgdr mips snmips mdr offcem pc_ips pc_snips pc_dr pc_sndr sim"
    assert set(asked.split()) <= set(ESTIMATORS)
    for name in ("ips", "snips", "dr", "sndr"):
        assert ESTIMATORS[f"pc_{name}"].compute is ESTIMATORS[name].compute
