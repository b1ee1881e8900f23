"""Samples without replacement by unequal weights: how likely each unit is to be in, and draws that keep to it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from worker.numerics.inclusion import (
    clipped,
    effective_size,
    poisson,
    proportional_inclusion,
    successive_inclusion,
    systematic,
)

WEIGHTS = np.array([1.0, 1, 1, 2, 4])


def gumbel_samples(weights: np.ndarray, size: int, draws: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).gumbel(size=(draws, len(weights)))
    chosen = np.argsort(-(np.log(weights) + noise), axis=1)[:, :size]
    return np.stack([(chosen == unit).any(axis=1) for unit in range(len(weights))], axis=1)


def test_inclusion_of_successive_draws_is_exact_for_few():
    found, exact = successive_inclusion(WEIGHTS, 2)
    assert exact
    np.testing.assert_allclose(found, [0.259524, 0.259524, 0.259524, 0.483333, 0.738095], atol=1e-6)
    np.testing.assert_allclose(gumbel_samples(WEIGHTS, 2, 100_000).mean(axis=0), found, atol=0.006)


def test_inclusion_of_successive_draws_is_near_for_many():
    weights = np.random.default_rng(0).lognormal(size=400)
    found, exact = successive_inclusion(weights, 100)
    assert not exact
    assert found.sum() == pytest.approx(100)
    np.testing.assert_allclose(gumbel_samples(weights, 100, 20_000).mean(axis=0), found, atol=0.02)


def test_everything_is_in_when_all_is_drawn():
    for found in (successive_inclusion(WEIGHTS, 5)[0], proportional_inclusion(WEIGHTS, 5)):
        np.testing.assert_array_equal(found, 1)


def test_proportional_inclusion_is_capped_and_sums_to_the_size():
    found = proportional_inclusion(WEIGHTS, 2)
    assert found.sum() == pytest.approx(2)
    np.testing.assert_allclose(found, np.minimum(1, WEIGHTS * found[0]))
    assert found[4] == pytest.approx(8 / 9)
    assert proportional_inclusion(WEIGHTS, 3)[4] == 1
    sizes = np.array([5.0, 1, 1, 1, 1])
    assert proportional_inclusion(WEIGHTS, 4, sizes) @ sizes == pytest.approx(4)
    with pytest.raises(ValueError, match="more was asked for"):
        proportional_inclusion(WEIGHTS, 6)


@pytest.mark.parametrize("how", ["poisson", "systematic"])
def test_draws_keep_to_their_probabilities_and_totals_are_unbiased(how):
    rng = np.random.default_rng(0)
    weights, values = rng.lognormal(size=60), rng.normal(5, 1, 60)
    inclusion = proportional_inclusion(weights, 15)
    inside, totals, counts = np.zeros(60), [], []
    for _ in range(6000):
        noise = rng.random(60)
        drawn = poisson(inclusion, noise) if how == "poisson" else systematic(inclusion, noise, rng.random())
        inside[drawn] += 1
        counts.append(len(drawn))
        totals.append((values[drawn] / inclusion[drawn]).sum())
    np.testing.assert_allclose(inside / 6000, inclusion, atol=0.025)
    assert np.mean(totals) == pytest.approx(values.sum(), rel=0.02)
    assert set(counts) == {15} if how == "systematic" else np.std(counts) > 1


def test_weights_are_clipped_and_their_evenness_is_known():
    found = clipped(np.array([1e-9, 1.0, 2.0]), 100)
    np.testing.assert_allclose(found, [0.02, 1, 2])
    assert effective_size(np.ones(7)) == pytest.approx(7)
    assert effective_size(np.array([1.0, 0, 0])) == pytest.approx(1)


def test_a_small_far_cluster_is_used_up_by_inverse_draws():
    """900 and 100 documents: of 20 draws half come from the small cluster, of 100 about 44 (exponential clocks)."""
    weights = np.repeat([1 / 900, 1 / 100], [900, 100])
    small = [gumbel_samples(weights, size, 400)[:, 900:].sum(axis=1).mean() for size in (20, 100)]
    assert small[0] == pytest.approx(10, abs=0.6)
    assert small[1] == pytest.approx(44, abs=1.5)
    assert all(a < b for a, b in pairwise(small))
