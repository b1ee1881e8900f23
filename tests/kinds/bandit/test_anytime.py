"""Intervals that hold at every look: the mixture's mathematics, coverage while one peeks, and adaptive logging."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, special

from benchmarks.off_policy.small_world import ACTIONS, adaptive, world
from tests.kinds.bandit.test_margins import estimate, guarded_log
from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.gain.anytime import FIRST, Monitored, Side, anytime_gain, boundary, log_wealth, monitor
from worker.kinds.bandit.overlap import Pairs

RANGE = (0.0, 1.0)


def watched(log: BanditLog, *, propensities_alone: bool = False) -> Monitored:
    target = log.targets["target"]
    weight = target.at(log.action) / log.propensity
    return monitor(log, weight, None if propensities_alone else Pairs.of(target, log.logging), RANGE)


@pytest.mark.parametrize(
    ("excess", "spread", "rho"), [(3.0, 5.0, 1.0), (20.0, 50.0, 4.0), (-5.0, 10.0, 2.0), (2, 0, 0.5)]
)
def test_wealth_when_in_closed_form_then_equals_the_integral(excess, spread, rho):
    constant = rho**rho / (special.gamma(rho) * special.gammainc(rho, rho))

    def integrand(bet: float) -> float:
        payoff = excess * bet + spread * (np.log1p(-bet) + bet)
        return constant * np.exp(payoff) * (1 - bet) ** (rho - 1) * np.exp(-rho * (1 - bet))

    wanted = np.log(integrate.quad(integrand, 0, 1)[0])
    assert log_wealth(excess, spread, rho) == pytest.approx(wanted, abs=1e-7)
    assert log_wealth(boundary(spread, rho, 0.05), spread, rho) == pytest.approx(np.log(20), abs=1e-8)


def test_wealth_when_values_lie_as_low_as_they_may_then_is_worth_no_more_on_average():
    """Exactly one step of the supermartingale: phi of two values, the lowest one -B, mean nu, and any guess."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        least, guess = rng.uniform(0.5, 20), rng.uniform(-1, 1)
        high, chance = rng.uniform(0, 30), rng.uniform(0.01, 0.99)
        mean, scale = chance * high - (1 - chance) * least, least + 1
        bet = rng.uniform(0, 1)
        worth = [
            np.exp(bet * (value - mean) / scale + ((value - guess) / scale) ** 2 * (np.log1p(-bet) + bet))
            for value in (high, -least)
        ]
        assert chance * worth[0] + (1 - chance) * worth[1] <= 1 + 1e-12


@pytest.mark.parametrize("propensities_alone", [False, True])
def test_sequence_when_peeked_at_continuously_then_holds_and_a_fixed_interval_does_not(propensities_alone):
    """60 logs, every 40th of 3,000 rounds looked at: at 95 % more than 9 misses have probability 1e-3."""
    there = world(0.02, 1)
    missed, fixed = 0, 0
    for seed in range(60):
        found = watched(there.log(3000, seed), propensities_alone=propensities_alone)
        at = np.arange(40, found.rounds + 1, 40)
        missed += any(not low <= there.gain <= high for low, high in (found.ends(int(n), 0.05) for n in at))
        below, above = found.below, found.above
        half = 1.96 * below.scale * np.sqrt(below.spread[at - 1]) / at
        fixed += bool(np.any(below.sums[at - 1] / at - half > there.gain))
        half = 1.96 * above.scale * np.sqrt(above.spread[at - 1]) / at
        fixed += bool(np.any(-above.sums[at - 1] / at + half < there.gain))
    assert missed <= 9
    assert propensities_alone or fixed > 12


def test_sequence_when_the_logging_policy_learns_then_holds_the_running_gain():
    """25 logs: at 95 % more than 6 misses have probability 2e-4."""
    there = world(0.05, 2)
    missed = 0
    for seed in range(25):
        log, gain = adaptive(there, 1500, seed)
        running = np.cumsum(gain[FIRST:]) / np.arange(1, len(gain) - FIRST + 1)
        found = watched(log)
        at = range(20, found.rounds + 1, 20)
        missed += any(not low <= running[n - 1] <= high for n, (low, high) in ((n, found.ends(n, 0.05)) for n in at))
    assert missed <= 6


def test_sequence_when_support_is_missing_then_bounds_hold_the_gain_from_both_sides():
    there = world(0.0, 6)
    mu = there.mu * (np.arange(ACTIONS) != 1)
    there = replace(there, mu=mu / mu.sum(axis=1, keepdims=True))
    for alone in (False, True):
        low, high = watched(there.log(4000, 3), propensities_alone=alone).ends(3800, 0.05)
        assert low <= there.gain <= high


def test_gain_when_small_and_watched_long_then_is_seen_without_a_fixed_end():
    there = world(0.06, 1)
    log = there.log(6000, 4)
    weight = log.targets["target"].at(log.action) / log.propensity
    found = watched(log)
    gain = anytime_gain(log, weight, found, 0.05, margin=0.02)
    assert gain.low > 0
    assert 2 * gain.p_better < 0.02
    assert gain.margin is not None
    assert gain.margin.p_within < gain.p_better
    assert gain.better_to > 1
    # p and interval say the same: at the level of the p value the interval ends at zero.
    assert found.below.low(found.rounds, gain.p_better) == pytest.approx(0.0, abs=1e-9)


def test_side_when_worked_by_hand_then_ends_where_the_boundary_says():
    side = Side(np.array([1.0, 3.0]), np.array([0.5, 0.75]), 2.0, 1.0)
    assert side.low(2, 0.1) == pytest.approx((3.0 - 2.0 * boundary(0.75, 1.0, 0.1)) / 2)
    assert side.value(2) == 1.5


def test_rounds_when_they_have_times_then_are_watched_in_that_order():
    log = world(0.05).log(600, 1)
    backwards = log.take(np.arange(600)[::-1].copy())
    timed = replace(backwards, timestamp=np.arange(600)[::-1].astype(np.int64).copy())
    np.testing.assert_allclose(watched(timed).below.sums, watched(log).below.sums)


def test_estimate_when_anytime_then_verdict_table_plot_and_guardrails_follow():
    log = guarded_log(0.08, 0.0)
    asked = {"sales": {"margin": 0.1}}
    found, fixed = (estimate(log, interval=kind, guardrails=asked) for kind in ("anytime", "fixed"))
    assert found.headline == "target would have done better, and the guardrails hold (green)"
    wide, narrow = (one.verdict.details["targets"][0] for one in (found, fixed))
    assert wide["over_logging_low"] < narrow["over_logging_low"]
    assert wide["p"] > narrow["p"]
    table = next(t for t in found.tables if t.name == "monitoring")
    assert table.rows[-1]["n"] == log.n
    assert "p fell below 0.02 from" in table.note
    assert "monitoring-target" in {plot.name for plot in found.plots}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"reward_range": None, "reward": np.linspace(0, 2, 400)}, "reward_bounds_required"),
        ({"user": np.arange(400, dtype=np.int32) // 2}, "invalid_params"),
        ({"weight": np.full(400, 2.0)}, "invalid_params"),
    ],
)
def test_estimate_when_the_log_is_no_sequence_then_is_refused_with_a_cure(change, code):
    with pytest.raises(JobError) as refused:
        estimate(replace(world(0.0).log(400, 1), **change), interval="anytime")
    assert refused.value.code == code
    assert refused.value.hint


def test_estimate_when_rounds_are_few_then_anytime_is_refused():
    with pytest.raises(JobError) as refused:
        estimate(world(0.0).log(250, 1), interval="anytime")
    assert refused.value.code == "too_few_rounds"
