"""Siamese augmentation: one draw for two batches, gradients, known results."""

from __future__ import annotations

import pytest
import torch

from worker.kinds.images import augmentation
from worker.kinds.images.augmentation import COLOUR, DIGITS, Draw, apply, augment, draw


def images(n=3, c=3, side=8, seed=0):
    return torch.randn(n, c, side, side, generator=torch.Generator().manual_seed(seed))


def numbers(*given):
    return torch.tensor([[*given, *[0.5] * (6 - len(given))]])


def test_one_state_of_the_generator_gives_one_draw_for_both_batches():
    first, again = (draw(COLOUR, torch.Generator().manual_seed(5)) for _ in range(2))
    assert first.operation == again.operation
    assert torch.equal(first.numbers, again.numbers)
    x = images(4)
    for seed in range(24):  # an image changes alike alone and among others
        drawn = draw(COLOUR, torch.Generator().manual_seed(seed))
        torch.testing.assert_close(apply(drawn, x)[2:3], apply(drawn, x[2:3]))


def test_every_operation_is_drawn_about_equally_often():
    generator = torch.Generator().manual_seed(0)
    drawn = [draw(COLOUR, generator).operation for _ in range(1200)]
    assert set(drawn) == set(COLOUR.split("_"))
    assert min(drawn.count(name) for name in set(drawn)) > 150
    assert "flip" not in DIGITS


def test_no_strategy_is_the_identity_and_an_unknown_name_is_named():
    x = images()
    assert augment(x, "none", torch.Generator().manual_seed(0)) is x
    assert augment(x, "", torch.Generator().manual_seed(0)) is x
    with pytest.raises(ValueError, match="blur is not an augmentation"):
        augment(x, "color_blur", torch.Generator().manual_seed(0))


def test_plain_training_draws_for_each_image():
    x = images(1).expand(4, 3, 8, 8)
    drawn = Draw("rotate", torch.rand(4, 6, generator=torch.Generator().manual_seed(0)))
    assert not torch.allclose(apply(drawn, x)[0], apply(drawn, x)[1])


@pytest.mark.parametrize("operation", COLOUR.split("_"))
def test_gradients_reach_the_pixels(operation):
    x = images(2).double().requires_grad_(True)
    drawn = Draw(operation, torch.rand(1, 6, generator=torch.Generator().manual_seed(1)))
    assert torch.autograd.gradcheck(lambda x: apply(drawn, x), (x,))


def test_known_results():
    x = images()
    torch.testing.assert_close(apply(Draw("color", numbers(0.5, 0.5, 0.5)), x), x)  # every factor 1, nothing added
    torch.testing.assert_close(apply(Draw("color", numbers(0.75, 0.5, 0.5)), x), x + 0.25)
    grey = apply(Draw("color", numbers(0.5, 0.0, 0.5)), x)
    torch.testing.assert_close(grey, x.mean(1, keepdim=True).expand_as(x))  # no saturation
    torch.testing.assert_close(apply(Draw("flip", numbers(0.2)), x), x.flip(3))
    assert torch.equal(apply(Draw("flip", numbers(0.7)), x), x)
    torch.testing.assert_close(apply(Draw("rotate", numbers(0.5)), x), x)
    one = (1 - 1 / 1.2) / (1.2 - 1 / 1.2)
    torch.testing.assert_close(apply(Draw("scale", numbers(one, one)), x), x, atol=1e-5, rtol=0)
    moved = apply(Draw("crop", numbers(0.999, 0.0)), x)  # side 8: shifts of -1, 0, 1
    assert torch.equal(moved[:, :, :-1, 1:], x[:, :, 1:, :-1])
    assert float(moved[:, :, -1].abs().sum()) == 0
    assert float(moved[:, :, :, 0].abs().sum()) == 0


def test_cutout_removes_a_square_of_half_the_side():
    ones = torch.ones(1, 1, 8, 8)
    middle = apply(Draw("cutout", numbers(0.5, 0.5)), ones)
    assert float((middle == 0).sum()) == 16
    corner = apply(Draw("cutout", numbers(0.0, 0.0)), ones)
    assert float((corner == 0).sum()) == 4  # clipped at the edge
    assert float(corner[0, 0, :2, :2].sum()) == 0


def test_whole_numbers_cover_both_ends():
    found = augmentation._whole(torch.tensor([0.0, 0.34, 0.999999]), -1, 1)
    assert found.tolist() == [-1, 0, 1]
