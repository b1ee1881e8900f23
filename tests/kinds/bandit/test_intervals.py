"""Intervals against worked values, the bootstrap of ratios, coverage by simulation, and paired differences."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from time import perf_counter, process_time

import numpy as np
import pytest

from worker.contract.errors import JobError
from worker.kinds.bandit.bootstrap import replicates
from worker.kinds.bandit.estimators.doubly_robust import dr, sndr
from worker.kinds.bandit.estimators.importance import ips, snips
from worker.kinds.bandit.estimators.per_round import PerRound, Terms
from worker.kinds.bandit.intervals import (
    bernstein,
    bootstrap,
    bootstrap_difference,
    difference,
    equivalent,
    floored,
    hoeffding,
    holm,
    normal,
    per_round_bounds,
    student,
    within,
)

WORKED = Terms(np.array([1, 0, 1, 0.5]), np.array([0.2, 1 / 6, 0.375, 1.0]))


def made_up(n: int, seed: int = 0) -> Terms:
    rng = np.random.default_rng(seed)
    weight = rng.lognormal(-0.5, 1, n)
    return Terms((rng.random(n) < 0.3 + 0.1 * (weight > 1)).astype(float), weight, np.full(n, 0.3), np.full(n, 0.3))


@pytest.mark.parametrize(
    ("half", "expected"),
    [
        (normal(ips(WORKED)).half_width, 0.2129958415566772),
        (student(ips(WORKED)).half_width, 0.3458470841044114),
        (hoeffding(ips(WORKED), (0, 1)).half_width, 0.6790507578703098),
        (bernstein(ips(WORKED), (0, 1)).half_width, 3.729961069661947),
        (ips(WORKED).value - bernstein(ips(WORKED), (0, 1), one_sided=True).low, 3.164307332439332),
    ],
)
def test_half_width_of_the_worked_log_equals_the_worked_value(half, expected):
    assert half == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", [40, 500, 5000])
def test_bootstrap_of_snips_when_every_reward_is_one_is_exactly_one(n):
    terms = replace(made_up(n), reward=np.ones(n))
    found = bootstrap(snips(terms), draws=200)
    assert (found.low, found.high) == (1.0, 1.0)


@pytest.mark.parametrize("estimator", [ips, snips, dr, sndr])
@pytest.mark.parametrize("n", [600, 4000])
def test_bootstrap_spread_agrees_with_resampling_round_by_round(estimator, n):
    terms = made_up(n)
    rng = np.random.default_rng(1)
    naive = []
    for _ in range(1000):
        i = rng.integers(0, n, n)
        naive.append(estimator(Terms(terms.reward[i], terms.weight[i], terms.q_logged[i], terms.dm[i])).value)
    found = replicates([estimator(terms)], 1000)[0]
    assert found.mean() == pytest.approx(np.mean(naive), abs=5 * np.std(naive) / 30)
    assert found.std() == pytest.approx(np.std(naive), rel=0.12)
    assert found.std() == pytest.approx(estimator(terms).se, rel=0.12)


def test_replicates_of_one_rounds_indicator_are_poisson_like_and_sum_to_n():
    n = 2000
    one = np.zeros(n)
    one[7] = n
    found = replicates([PerRound(np.zeros(n), one)], 20_000)[0]
    share = np.bincount(np.rint(found).astype(int), minlength=6)[:5] / 20_000
    np.testing.assert_allclose(share, [0.3679, 0.3679, 0.1839, 0.0613, 0.0153], atol=0.015)


def test_replicates_that_share_counts_are_as_good_as_independent_ones():
    # Sorted rewards are the worst order for shifted counts: rounds are shuffled against it.
    rng = np.random.default_rng(9)
    terms = Terms(np.sort(rng.random(3000)), np.ones(3000))
    spreads = np.array([replicates([ips(terms)], 400, seed)[0].std() for seed in range(60)])
    assert spreads.mean() == pytest.approx(ips(terms).se, rel=0.02)
    assert spreads.std() / spreads.mean() < 1.5 / np.sqrt(2 * 400)


def test_bootstrap_of_users_is_wider_when_their_rounds_repeat_each_other():
    terms = made_up(400)
    copies = Terms(*(np.repeat(v, 5) for v in (terms.reward, terms.weight)))
    by_user = bootstrap(snips(copies), cluster=np.repeat(np.arange(400), 5))
    by_round = bootstrap(snips(copies))
    assert by_user.half_width == pytest.approx(np.sqrt(5) * by_round.half_width, rel=0.15)
    assert by_user.half_width == pytest.approx(bootstrap(snips(terms)).half_width, rel=0.1)


def test_bootstrap_of_integer_round_weights_is_as_wide_as_of_repeated_rounds():
    terms = made_up(800)
    counts = np.random.default_rng(3).integers(1, 4, 800)
    long = Terms(*(np.repeat(v, counts) for v in (terms.reward, terms.weight)))
    weighted = bootstrap(snips(replace(terms, rounds=counts.astype(float))), draws=2000)
    assert weighted.half_width == pytest.approx(bootstrap(snips(long), draws=2000).half_width, rel=0.08)


def test_bootstrap_with_one_seed_gives_the_same_interval():
    estimate = snips(made_up(3000))
    assert bootstrap(estimate, seed=4) == bootstrap(estimate, seed=4)
    assert bootstrap(estimate, seed=4) != bootstrap(estimate, seed=5)


def test_bootstrap_of_ten_thousand_rounds_is_much_faster_than_round_by_round():
    estimate = snips(made_up(10_000))

    def naive(draws: int) -> None:
        rng = np.random.default_rng(0)
        for _ in range(draws):
            i = rng.choice(estimate.n, estimate.n)
            PerRound(estimate.offset[i], estimate.numerator[i], estimate.denominator[i]).value  # noqa: B018

    def seconds(work, *arguments) -> float:
        start = process_time()
        work(*arguments)
        return process_time() - start

    slow = min(seconds(naive, 200) for _ in range(5)) * 5
    fast = min(seconds(replicates, [estimate], 1000) for _ in range(5))
    assert fast < slow / 6  # about 15 times on a free machine


@pytest.mark.parametrize("estimator", [snips, dr])
def test_normal_interval_at_a_healthy_sample_size_covers_as_often_as_it_says(estimator):
    rng = np.random.default_rng(5)
    mu, pi, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5]), np.array([0.2, 0.5, 0.8])
    model = np.array([0.3, 0.4, 0.6])
    covered = []
    for _ in range(300):
        action = np.searchsorted(np.cumsum(mu)[:-1], rng.random(400))
        reward = (rng.random(400) < q[action]).astype(float)
        terms = Terms(reward, (pi / mu)[action], model[action], np.full(400, pi @ model))
        found = normal(estimator(terms))
        covered.append(found.low <= pi @ q <= found.high)
    assert 0.91 <= np.mean(covered) <= 0.99


def test_floored_interval_is_as_wide_as_the_policies_allow():
    estimate = snips(made_up(2000))
    wide = floored(estimate, 10.0, reward_range=(0, 1))
    assert wide.half_width == pytest.approx(1.959964 * np.sqrt(estimate.value * (1 - estimate.value) / 10), rel=1e-6)
    plain = floored(estimate, 1e9, reward_range=(0, 1))
    assert plain.half_width == pytest.approx(normal(estimate).half_width, rel=1e-12)
    scaled = floored(snips(replace(made_up(2000), reward=3 * made_up(2000).reward - 1)), 10.0, reward_range=(-1, 2))
    assert scaled.half_width == pytest.approx(3 * wide.half_width, rel=1e-9)
    assert floored(estimate, 10.0, reward_variance=0.4).half_width == pytest.approx(1.959964 * 0.2, rel=1e-6)
    flat = snips(replace(made_up(2000), reward=np.zeros(2000)))
    assert floored(flat, 10.0, reward_range=(0, 1)).half_width == pytest.approx(1.959964 * np.sqrt(0.002), rel=1e-6)
    assert not floored(estimate, 0.5, reward_range=(0, 1)).valid
    assert np.isinf(floored(estimate, 0.0, reward_range=(0, 1)).high)


def test_bounds_of_per_round_values_hold_and_unknown_bounds_are_refused():
    assert per_round_bounds(10.0, (0, 1)) == (0, 10)
    assert per_round_bounds(10.0, (-1, 2)) == (-10, 20)
    assert per_round_bounds(10.0, (4, 5)) == (0, 50)
    assert per_round_bounds(10.0, (-1, 1), model=True) == (-21, 21)
    for weight, rewards, code in (
        (None, (0.0, 1.0), "weights_bound_required"),
        (np.inf, (0.0, 1.0), "weights_bound_required"),
        (3.0, None, "reward_bounds_required"),
    ):
        with pytest.raises(JobError) as refused:
            per_round_bounds(weight, rewards)
        assert refused.value.code == code


@pytest.mark.parametrize("interval", [hoeffding, bernstein])
def test_bounds_of_means_refuse_a_ratio(interval):
    with pytest.raises(JobError) as refused:
        interval(snips(WORKED), (0, 1))
    assert refused.value.code == "unsupported"


def test_paired_difference_of_nearly_equal_policies_is_tighter_than_two_intervals():
    terms = made_up(5000)
    near = snips(replace(terms, weight=terms.weight * np.random.default_rng(6).uniform(0.9, 1.1, 5000)))
    base = snips(terms)
    found = difference(near, base)
    assert found.value == pytest.approx(near.value - base.value, abs=1e-15)
    assert found.se < 0.3 * base.se
    drawn = bootstrap_difference(near, base, draws=2000)
    assert drawn.se == pytest.approx(found.se, rel=0.1)
    assert difference(base, base).p == 1.0
    assert equivalent(found, 0.05) < 0.01
    assert equivalent(found, 1e-6) > 0.4


def test_difference_of_unequal_policies_is_found():
    rng = np.random.default_rng(7)
    reward = np.concatenate([np.ones(500), np.zeros(500)]) + 0.1 * rng.normal(size=1000)
    good, bad = np.repeat([1.8, 0.2], 500), np.repeat([0.2, 1.8], 500)
    found = difference(snips(Terms(reward, good)), snips(Terms(reward, bad)))
    assert found.p < 1e-6
    assert found.low > 0.5
    assert bootstrap_difference(snips(Terms(reward, good)), snips(Terms(reward, bad))).p <= 0.002


def test_holm_adjusts_by_rank_and_never_decreases():
    adjusted = holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(adjusted, [0.03, 0.06, 0.06, 0.02], atol=1e-15)
    assert all(a <= b for a, b in pairwise(sorted(adjusted)))
    assert holm([0.9, 0.8]).max() == 1.0


def test_estimates_of_a_million_rounds_are_quick():
    n = 1_000_000
    rng = np.random.default_rng(8)
    terms = Terms(rng.random(n), rng.random(n), rng.random(n), rng.random(n))
    for estimator in (ips, snips, dr):
        start = perf_counter()
        assert np.isfinite(estimator(terms).value)
        assert perf_counter() - start < 1.0  # about 0.01 s on a free machine


def test_floored_interval_when_rewards_are_rare_or_small_then_knows_their_scale():
    clicks = PerRound(np.zeros(1000), (np.arange(1000) < 4).astype(float))
    wide = floored(clicks, 100.0, reward_range=(0, 1))
    known = floored(clicks, 100.0, reward_range=(0, 1), reward_mean=0.004, reward_variance=0.004 * 0.996)
    assert wide.half_width == pytest.approx(1.959964 * np.sqrt(0.02 / 100), rel=1e-6)
    rate = (4 + 1) / 1002
    assert known.half_width == pytest.approx(1.959964 * np.sqrt(rate * (1 - rate) / 100), rel=0.01)
    none = floored(PerRound(np.zeros(1000), np.zeros(1000)), 100.0, reward_range=(0, 1), reward_mean=0.0)
    assert none.half_width == pytest.approx(1.959964 * np.sqrt(1 / 1002 / 100), rel=0.01)
    even = PerRound(np.zeros(1000), np.full(1000, 0.5))
    small = floored(even, 100.0, reward_range=(0, 1), reward_mean=0.5, reward_variance=0.01)
    assert small.half_width == pytest.approx(1.959964 * np.sqrt(0.011 / 100), rel=0.01)


def test_interval_when_within_the_declared_range_then_ends_there_but_keeps_its_estimate():
    found = within(normal(PerRound(np.zeros(50), np.linspace(-0.5, 2.5, 50))), (0.0, 1.0))
    assert found.high == 1.0
    beyond = within(normal(PerRound(np.zeros(50), np.linspace(0.5, 3.5, 50))), (0.0, 1.0))
    assert beyond.low < beyond.value == beyond.high
    assert within(beyond, None) is beyond


def test_difference_when_users_are_given_then_counts_users_and_not_their_rounds():
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(50), 20)
    alike = PerRound(np.zeros(1000), rng.normal(size=50)[unit])
    nothing = PerRound(np.zeros(1000), np.zeros(1000))
    of_users, of_rounds = difference(alike, nothing, unit=unit), difference(alike, nothing)
    assert of_users.se == pytest.approx(of_rounds.se * 20**0.5, rel=0.03)
    assert of_users.high - of_users.low > 2 * 1.96 * of_users.se
    assert normal(alike, unit=unit).half_width == pytest.approx((of_users.high - of_users.low) / 2, rel=1e-9)
