"""Picks of rounds: weights sum to n, estimates stay unbiased, each against its known failure."""

from __future__ import annotations

import numpy as np
import pytest

from worker.kinds.bandit import policies
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.rounds.coresets import (
    importance_rounds,
    stratified_rounds,
    top_reward_rounds,
    uniform_rounds,
)

N, A = 400, 6


@pytest.fixture(scope="module")
def log() -> BanditLog:
    rng = np.random.default_rng(1)
    chance = np.array([0.5, 0.2, 0.15, 0.1, 0.04, 0.01])
    action = rng.choice(A, size=N, p=chance).astype(np.int32)
    reward = (rng.random(N) < 0.1 + 0.15 * action).astype(float)
    return BanditLog(action, reward, chance[action], A, np.zeros((1, 0), np.float32), np.zeros(N, np.int32))


def ips(log: BanditLog, target: policies.Policy, rounds: np.ndarray, omega: np.ndarray) -> float:
    weight = target.at(log.action)[rounds] / log.propensity[rounds]
    return float(omega @ (weight * log.reward[rounds]) / omega.sum())


@pytest.mark.parametrize("m", [1, 3, 6, 50, 399])
def test_picks_when_made_then_are_sorted_distinct_and_stand_for_every_round(log, m):
    rng = np.random.default_rng(2)
    target = policies.uniform(N, A)
    picks = {
        "uniform": uniform_rounds(N, m, rng),
        "top": top_reward_rounds(log.reward, m, rng),
        "stratified": stratified_rounds(log.action, m, rng),
        "importance": importance_rounds(log, [target], m, rng),
    }
    for name, (rounds, omega) in picks.items():
        assert np.all(np.diff(rounds) > 0), name
        assert len(rounds) == m or (name == "importance" and len(rounds) < m)
        assert omega.sum() == pytest.approx(N), name
        assert omega.min() > 0, name


def test_stratified_when_the_budget_allows_then_keeps_every_logged_action_and_its_share(log):
    rounds, omega = stratified_rounds(log.action, 60, np.random.default_rng(3))
    counts = np.bincount(log.action, minlength=A)
    np.testing.assert_allclose(np.bincount(log.action[rounds], omega, minlength=A), counts, rtol=1e-9)


def test_top_rewards_when_picked_then_overstate_the_value(log):
    rounds, omega = top_reward_rounds(log.reward, 40, np.random.default_rng(4))
    target = policies.uniform(N, A)
    everything = ips(log, target, np.arange(N), np.ones(N))
    assert ips(log, target, rounds, omega) > 1.3 * everything


def test_importance_when_drawn_many_times_then_is_right_on_average_and_nearer_than_uniform(log):
    target = policies.uniform(N, A)
    everything = ips(log, target, np.arange(N), np.ones(N))
    rng = np.random.default_rng(5)
    drawn = np.array([ips(log, target, *importance_rounds(log, [target], 60, rng)) for _ in range(400)])
    plain = np.array([ips(log, target, *uniform_rounds(N, 60, rng)) for _ in range(400)])
    # A ratio of m draws is biased by order 1/m: allow that beside four standard errors.
    assert abs(drawn.mean() - everything) < 4 * drawn.std() / 20 + everything / 60
    assert np.mean((drawn - everything) ** 2) < 0.5 * np.mean((plain - everything) ** 2)
