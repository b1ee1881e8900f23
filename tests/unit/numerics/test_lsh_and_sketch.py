"""Hashes collide as their formulas say; sketches count exactly, add up bit for bit, and estimate kernel sums."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from worker.numerics.lsh import Hashes, collision_probability
from worker.numerics.sketch import Sketch

RATIOS = np.array([0.1, 0.25, 0.5, 1, 2**0.5, 2, 4])
KNOWN = {
    "l2": [0.920212, 0.800532, 0.609548, 0.368746, 0.270903, 0.195417, 0.099219],
    "l1": [0.789645, 0.618582, 0.448683, 0.279364, 0.209303, 0.153110, 0.078769],
}


def buckets(hashes: Hashes, x: np.ndarray) -> np.ndarray:
    return np.concatenate([found for _, found in hashes.of(np.asarray(x, np.float32))])


@pytest.mark.parametrize("kernel", ["l2", "l1"])
def test_collision_probability_is_the_closed_form(kernel):
    np.testing.assert_allclose(collision_probability(kernel, RATIOS * 3, 3.0), KNOWN[kernel], atol=1e-6)
    assert collision_probability(kernel, 0.0, 1.0) == 1


@pytest.mark.parametrize("kernel", ["l2", "l1"])
@pytest.mark.parametrize("width", [1.0, 0.2])
def test_vectors_collide_as_often_as_the_formula_says(kernel, width):
    """200,000 hashes; a hash that forgets to divide by its width fails for the width 0.2."""
    x = np.zeros((1 + len(RATIOS), 3), np.float32)
    x[1:, 0] = RATIOS * width  # the same distance in both norms
    found = np.concatenate([buckets(Hashes(kernel, 3, width, 1, 4000, 1 << 30, seed), x) for seed in range(50)])
    rates = (found[:, 1:] == found[:, :1]).mean(axis=0)
    np.testing.assert_allclose(rates, collision_probability(kernel, RATIOS * width, width), atol=0.003)


def test_angular_hashes_collide_by_the_angle():
    angles = np.array([0.1, 0.5, 1.0, 2.0, 3.0])
    x = np.stack([np.cos([0, *angles]), np.sin([0, *angles])], axis=1) * 7
    found = np.concatenate([buckets(Hashes("angular", 2, 1.0, 1, 4000, 1 << 30, seed), x) for seed in range(50)])
    rates = (found[:, 1:] == found[:, :1]).mean(axis=0)
    np.testing.assert_allclose(rates, 1 - angles / np.pi, atol=0.003)
    np.testing.assert_allclose(collision_probability("angular", angles, 1.0), 1 - angles / np.pi)


def test_joined_hashes_have_the_power_of_the_kernel():
    x = np.array([[0, 0], [0.5, 0]], np.float32)
    found = np.concatenate([buckets(Hashes("l2", 2, 1.0, 3, 4000, 1 << 30, seed), x) for seed in range(50)])
    assert (found[:, 0] == found[:, 1]).mean() == pytest.approx(0.609548**3, abs=0.003)


@pytest.mark.parametrize("kernel", ["l2", "l1", "angular"])
def test_a_vector_has_its_buckets_in_every_batch(kernel):
    """Also where float32 products of another shape end in other bits: near borders the sum is done in float64."""
    x = np.random.default_rng(0).standard_normal((257, 96)).astype(np.float32)
    hashes = Hashes(kernel, 96, 0.01, 2, 200, 1 << 30, 3)
    together = buckets(hashes, x)
    for size in (1, 2, 7, 100):
        apart = [buckets(hashes, x[start : start + size]) for start in range(0, len(x), size)]
        np.testing.assert_array_equal(np.concatenate(apart, axis=1), together)
    exact = _by_definition(hashes, x)
    np.testing.assert_array_equal(together == together[:, :1], exact == exact[:, :1])


def _by_definition(hashes: Hashes, x: np.ndarray) -> np.ndarray:
    """The joined numbers as strings, with float64 sums from left to right."""
    a, b, _ = hashes._projections
    values = np.zeros((len(a), len(x)))
    for column in range(x.shape[1]):
        values += a[:, column : column + 1].astype(np.float64) * x[:, column].astype(np.float64)
    values += b[:, None]
    numbers = (values >= 0 if hashes.kernel == "angular" else np.floor(values)).astype(np.int64)
    joined = numbers.reshape(hashes.rows, hashes.hashes, len(x)).transpose(0, 2, 1)
    return np.array([[str(one) for one in row] for row in joined])


def test_buckets_are_never_negative_and_below_their_number():
    x = 1e6 * np.random.default_rng(0).standard_normal((500, 4))
    found = buckets(Hashes("l1", 4, 1e-3, 2, 64, 1024, 0), x)
    assert found.min() >= 0
    assert found.max() < 1024
    assert len(np.unique(found)) > 1000  # all are used


def sketch(hashes: Hashes, x: np.ndarray) -> Sketch:
    made = Sketch(hashes)
    made.add(x)
    return made


def test_sketches_of_parts_add_up_bit_for_bit_in_any_order():
    x = np.random.default_rng(1).standard_normal((5000, 16)).astype(np.float32)
    hashes = Hashes("l2", 16, 2.0, 2, 100, 1024, 5)
    whole = sketch(hashes, x)
    assert (whole.counts.sum(axis=1) == 5000).all()
    order = np.random.default_rng(2).permutation(5000)
    parts = [sketch(hashes, x[rows]) for rows in np.array_split(order, 7)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merged(part)
    assert merged.counts.dtype == np.int32
    np.testing.assert_array_equal(merged.counts, whole.counts)
    np.testing.assert_array_equal(merged.densities(x)[order], whole.densities(x[order]))
    with pytest.raises(ValueError, match="different hash functions"):
        whole.merged(sketch(Hashes("l2", 16, 2.0, 2, 100, 1024, 6), x))


def test_counters_grow_before_they_overflow():
    hashes = Hashes("l2", 2, 1.0, 1, 4, 8, 0)
    half = Sketch(hashes, np.full((4, 8), 2**30, np.int32), 2**30)
    both = half.merged(half)
    assert both.counts.dtype == np.int64
    assert (both.counts == 2**31).all()


def test_identical_vectors_have_their_number_as_density():
    x = np.tile(np.random.default_rng(0).standard_normal(8).astype(np.float32), (777, 1))
    assert (sketch(Hashes("l2", 8, 0.5, 2, 64, 2000, 0), x).densities(x) == 777).all()


def test_two_far_clusters_have_their_sizes_as_density():
    rng = np.random.default_rng(0)
    x = 1e-4 * rng.standard_normal((1000, 8)).astype(np.float32)
    x[900:, 0] += 50
    found = sketch(Hashes("l2", 8, 1.0, 2, 1000, 20_000, 0), x).densities(x)
    np.testing.assert_allclose(found[:900], 900, rtol=0.02)
    np.testing.assert_allclose(found[900:], 100, rtol=0.02)


def test_the_error_of_densities_halves_with_four_times_the_rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 6)).astype(np.float32)
    exact = collision_probability("l2", cdist(x, x), 2.0).sum(axis=1)

    def error(rows: int) -> float:
        estimates = (sketch(Hashes("l2", 6, 2.0, 1, rows, 1 << 16, seed), x).densities(x) for seed in range(60))
        return float(np.sqrt(np.mean([(one / exact - 1) ** 2 for one in estimates])))

    assert error(64) / error(256) == pytest.approx(2, rel=0.2)


def test_few_counters_are_noise_that_is_taken_out():
    """Without the debiasing 5,000 vectors in 256 counters would add 20 to densities of about 1."""
    x = 100 * np.random.default_rng(0).standard_normal((5000, 8)).astype(np.float32)
    found = sketch(Hashes("l2", 8, 0.1, 2, 500, 256, 0), x).densities(x)
    assert found.min() >= 1
    assert found.mean() == pytest.approx(1, abs=0.2)
