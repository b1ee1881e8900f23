"""What the calibration plot says in words."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from worker.kinds.bandit.estimation.calibration import in_words


def drawn(rounds: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Expected rewards (n,) and 0/1 rewards drawn from them."""
    rng = np.random.default_rng(0)
    chance = rng.uniform(0.2, 0.8, rounds)
    return chance, (rng.random(rounds) < chance).astype(float)


@pytest.mark.parametrize(
    ("stretch", "said"), [(1.0, "neither too bold nor too timid"), (2.0, "too bold"), (0.5, "too timid")]
)
def test_words_when_predictions_are_stretched_then_say_so(stretch, said):
    chance, reward = drawn()
    assert said in in_words(0.5 + stretch * (chance - 0.5), reward)


def test_words_when_predictions_are_noise_or_one_number_then_say_so():
    _, reward = drawn()
    noise = np.random.default_rng(5).random(len(reward))
    assert "tells nothing of rewards" in in_words(noise, reward)
    assert in_words(np.full(len(reward), 0.4), reward) == "It predicts one reward for all."


def test_words_when_they_give_a_slope_then_it_is_that_of_least_squares():
    chance, reward = drawn(500)
    fit = stats.linregress(chance, reward)
    said = in_words(chance, reward)
    assert f"rise by {fit.slope:.2f} ±" in said
    reach = float(said.split("± ")[1].split(" ")[0])
    assert reach == pytest.approx(1.96 * fit.stderr, rel=0.1)


def test_words_when_rounds_of_a_user_repeat_then_the_interval_is_wider():
    chance, reward = drawn(400)
    alone = in_words(chance, reward)
    repeated = in_words(np.repeat(chance, 9), np.repeat(reward, 9), None, np.repeat(np.arange(400), 9))
    assert alone.split(":")[1] == repeated.split(":")[1]


def test_words_when_one_tenth_is_off_then_name_it():
    chance, reward = drawn()
    predicted = np.where(chance > 0.74, 0.95, chance)
    said = in_words(predicted, reward)
    top = np.argsort(predicted, kind="stable")[-400:]
    assert f"predicted at {predicted[top].mean():.2f} that earned {reward[top].mean():.2f}" in said
