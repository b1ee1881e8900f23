"""ZCA whitening: eigenvalues, inverse, few rows."""

from __future__ import annotations

import numpy as np
import pytest

from worker.kinds.images.encoding import Encoding
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.whitening import whitening


def images(n, side=4, channels=2):
    rng = np.random.default_rng(0)
    d = channels * side * side
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 3
    x = x.reshape(n, channels, side, side).astype(np.float32)
    return ImageSet(x, np.zeros(n, np.int64), Encoding(np.zeros(channels), np.ones(channels)), 2)


def test_whitened_covariance_has_the_eigenvalues_of_the_ridge():
    given = images(500)
    found = whitening(given)
    rows = given.all().reshape(500, -1).astype(np.float64)
    values = np.linalg.eigvalsh(np.cov(rows.T, bias=True))
    white = found.whiten(given.all()).reshape(500, -1).astype(np.float64)
    got = np.linalg.eigvalsh(np.cov(white.T, bias=True))
    np.testing.assert_allclose(got, values / (values + 0.1 * values.mean()), atol=1e-4)
    assert 0 < got.min() < got.max() <= 1


@pytest.mark.parametrize("n", [500, 20])
def test_colouring_undoes_whitening(n):
    given = images(n)
    found = whitening(given)
    np.testing.assert_allclose(found.matrix @ found.inverse, np.eye(32), atol=1e-4)
    np.testing.assert_allclose(found.colour(found.whiten(given.all())), given.all(), atol=1e-3, rtol=1e-3)


def test_directions_that_no_row_spans_keep_their_scale():
    given = images(5)
    rows = given.all().reshape(5, -1).astype(np.float64)
    outside = np.linalg.svd(rows - rows.mean(0))[2][-3]
    np.testing.assert_allclose(outside @ whitening(given).matrix, outside, atol=1e-4)


def test_constant_images_stay_finite_and_huge_ones_are_refused():
    plain = Encoding(np.zeros(1), np.ones(1))
    constant = ImageSet(np.ones((40, 1, 2, 2), np.float32), np.zeros(40, np.int64), plain, 2)
    assert np.isfinite(whitening(constant).matrix).all()
    huge = ImageSet(np.zeros((1, 1, 128, 128), np.float32), np.zeros(1, np.int64), plain, 2)
    with pytest.raises(ValueError, match="at most 12,288"):
        whitening(huge)
