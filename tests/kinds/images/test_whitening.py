"""ZCA whitening: eigenvalues, inverse, few rows."""

from __future__ import annotations

import pytest
import torch

from worker.kinds.images.whitening import Whitening, whitening


def images(n, side=4, channels=2):
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(channels * side * side, channels * side * side, generator=generator)
    return (torch.randn(n, channels * side * side, generator=generator) @ mixing).view(n, channels, side, side) + 3


def test_whitened_covariance_has_the_eigenvalues_of_the_ridge():
    x = images(500)
    found = whitening(x)
    rows = x.flatten(1).double()
    values = torch.linalg.eigvalsh((rows - rows.mean(0)).T @ (rows - rows.mean(0)) / len(rows))
    reg = 0.1 * values.mean()
    white = found.whiten(x).flatten(1).double()
    got = torch.linalg.eigvalsh(white.T @ white / len(white))
    torch.testing.assert_close(got, values / (values + reg), atol=1e-4, rtol=0)
    assert 0 < float(got.min()) < float(got.max()) <= 1


@pytest.mark.parametrize("n", [500, 20])
def test_restoring_undoes_whitening(n):
    x = images(n)
    found = whitening(x)
    torch.testing.assert_close(found.matrix @ found.inverse, torch.eye(32), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.restore(found.whiten(x)), x, atol=1e-3, rtol=1e-3)


def test_directions_that_no_row_spans_keep_their_scale():
    x = images(5)
    centred = (x - x.mean(0)).flatten(1).double()
    outside = torch.linalg.svd(centred)[2][-3]
    found = whitening(x)
    torch.testing.assert_close(outside.float() @ found.matrix, outside.float(), atol=1e-4, rtol=1e-4)


def test_constant_images_stay_finite_and_huge_ones_are_refused():
    assert torch.isfinite(whitening(torch.ones(40, 1, 2, 2)).matrix).all()
    with pytest.raises(ValueError, match="at most 12,288"):
        whitening(torch.zeros(1, 3, 65, 64))


def test_it_is_applied_to_every_image_alike():
    x = images(50)
    found = whitening(x)
    assert isinstance(found, Whitening)
    torch.testing.assert_close(found.whiten(x)[7:9], found.whiten(x[7:9]))
