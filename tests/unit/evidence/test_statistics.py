"""The intervals cover what they promise, and pairing pays."""

from __future__ import annotations

import numpy as np
import pytest

from worker.evidence.statistics import Bootstrap, interval, resampled_means


@pytest.mark.parametrize("draw", ["normal", "exponential", "bernoulli"])
def test_bootstrap_of_a_known_mean_covers_it_in_about_95_percent(draw: str) -> None:
    rng = np.random.default_rng(1)
    sample, mean = {
        "normal": (lambda: rng.normal(3.0, 2.0, 150), 3.0),
        "exponential": (lambda: rng.exponential(2.0, 150), 2.0),
        "bernoulli": (lambda: (rng.random(150) < 0.3).astype(float), 0.3),
    }[draw]
    hits = 0
    for trial in range(300):
        bootstrap = Bootstrap(resamples=300, seed=trial)
        bootstrap.add("x", sample())
        found = bootstrap.run().mean("x")
        hits += found.low <= mean <= found.high
    assert 0.90 <= hits / 300 <= 0.985


def test_bootstrap_width_of_a_normal_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(0).normal(0, 1, 4000)
    bootstrap = Bootstrap(resamples=4000)
    bootstrap.add("x", values)
    found = bootstrap.run().mean("x")
    assert found.width == pytest.approx(2 * 1.96 * values.std() / np.sqrt(4000), rel=0.06)


def test_paired_difference_is_narrower_than_an_unpaired_one() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 1, 500)
    bootstrap = Bootstrap(seed=1)
    noise = rng.normal(0, 0.1, (2, 500))
    a, b = shared + noise - noise.mean(axis=1, keepdims=True)
    bootstrap.add("a", 5 + a)
    bootstrap.add("b", 4 + b)
    bootstrap.run()
    paired = bootstrap.difference("a", "b")
    unpaired = np.hypot(bootstrap.mean("a").width, bootstrap.mean("b").width)
    assert paired.width < 0.2 * unpaired
    assert paired.low < 1 < paired.high


def test_ratio_covers_the_true_ratio_when_pairs_are_drawn_anew() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for trial in range(200):
        base = rng.gamma(2.0, 1.0, 200)
        bootstrap = Bootstrap(resamples=300, seed=trial)
        bootstrap.add("full", base)
        bootstrap.add("part", 0.8 * base * rng.uniform(0.5, 1.5, 200))
        found = bootstrap.run().ratio("part", "full")
        hits += found.low <= 0.8 <= found.high
    assert 0.89 <= hits / 200 <= 0.99


def test_ratio_of_equal_columns_is_exactly_one() -> None:
    values = np.random.default_rng(0).random(777)
    bootstrap = Bootstrap()
    bootstrap.add("a", values)
    bootstrap.add("b", values.copy())
    found = bootstrap.run().ratio("a", "b")
    assert found.value == 1.0
    assert found.low == pytest.approx(1.0, abs=1e-6)
    assert found.high == pytest.approx(1.0, abs=1e-6)


def test_ratio_to_a_base_of_zero_is_undefined() -> None:
    bootstrap = Bootstrap()
    bootstrap.add("a", np.ones(10))
    bootstrap.add("b", np.zeros(10))
    assert np.isnan(bootstrap.run().ratio("a", "b").value)


def test_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    units = rng.normal(0, 0.1, 400)
    bootstrap = Bootstrap()
    bootstrap.add("steady", np.stack([units] * 5))
    bootstrap.add("shaky", np.stack([units + shift for shift in (-0.4, -0.2, 0.0, 0.2, 0.4)]))
    bootstrap.run()
    assert bootstrap.mean("shaky").width > 5 * bootstrap.mean("steady").width
    assert bootstrap.mean("shaky").seeds == 5


def test_bootstrap_with_the_same_seed_repeats_itself_and_with_another_does_not() -> None:
    values = np.random.default_rng(0).random((1, 50))
    first, again, other = (resampled_means(values, 20, seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_columns_over_other_units_are_refused() -> None:
    bootstrap = Bootstrap()
    bootstrap.add("a", np.ones(10))
    with pytest.raises(ValueError, match="same test units"):
        bootstrap.add("b", np.ones(11))


def test_interval_of_draws_that_are_not_finite_is_undefined() -> None:
    assert np.isnan(interval(np.array([1.0, np.inf]))).all()
