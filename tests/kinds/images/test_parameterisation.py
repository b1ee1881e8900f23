"""Forms: what is stored and the images that come of it."""

from __future__ import annotations

import pytest
import torch

from worker.kinds.images.parameterisation import Basis, Multiform, Pixels


def images(n=8, c=2, side=8):
    return torch.randn(n, c, side, side, generator=torch.Generator().manual_seed(0))


def test_one_tile_is_pixels():
    x = images()
    assert torch.equal(Multiform(1).images({"x": x}), Pixels().images({"x": x}))
    assert torch.equal(Multiform(1).start(x)["x"], x)


@pytest.mark.parametrize(("side", "factor"), [(8, 2), (28, 3), (9, 2)])
def test_a_canvas_gives_its_tiles_also_where_the_side_does_not_divide(side, factor):
    form = Multiform(factor)
    stored = form.start(images(2 * factor**2, side=side))
    assert stored["x"].shape == (2, 2, side, side)
    assert form.images(stored).shape == (2 * factor**2, 2, side, side)


def test_a_start_s_tiles_resemble_the_images_they_are_of():
    smooth = torch.nn.functional.interpolate(images(8, side=3), size=(8, 8), mode="bilinear", align_corners=False)
    form = Multiform(2)
    again = form.images(form.start(smooth))
    distances = torch.cdist(again.flatten(1), smooth.flatten(1))
    assert distances.argmin(1).tolist() == list(range(8))


def test_the_gradient_of_a_tile_touches_that_tile_alone():
    x = images(1, side=8).requires_grad_(True)
    (gradient,) = torch.autograd.grad(Multiform(2).images({"x": x})[1].sum(), x)  # first row, second column
    assert float(gradient[:, :, :4, 4:].abs().min()) > 0
    gradient[:, :, :4, 4:] = 0
    assert float(gradient.abs().sum()) == 0


def test_as_many_bases_as_images_reproduce_them():
    x = images(5)
    identity = {"bases": x, "coefficients": torch.eye(5)}
    torch.testing.assert_close(Basis(5, (8, 8)).images(identity), x)
    form = Basis(5, (8, 8))
    torch.testing.assert_close(form.images(form.start(x)), x, atol=1e-4, rtol=1e-4)


def test_few_bases_are_the_best_of_their_number():
    x = images(12)
    form = Basis(4, (8, 8))
    left = float((form.images(form.start(x)) - x).square().sum())
    scales = torch.linalg.svdvals(x.flatten(1).double())
    assert left == pytest.approx(float(scales[4:].square().sum()), rel=1e-4)


def test_bases_may_be_coarser_and_more_than_there_are_images():
    form = Basis(6, (8, 8), shrink=2)
    stored = form.start(images(3))
    assert stored["bases"].shape == (6, 2, 4, 4)
    assert stored["coefficients"].shape == (3, 6)
    assert form.images(stored).shape == (3, 2, 8, 8)
    assert float(stored["bases"][3:].abs().min()) > 0  # or coefficients of theirs would never move
