"""Losses of the distillers: known answers, bounds, gradients against differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from worker.kinds.images.distillation.discrepancies import amplitude_and_phase, cf_discrepancy, mean_discrepancy, mmd
from worker.kinds.images.distillation.gradient_matching import loops
from worker.kinds.images.distillation.gradients import class_gradient, gradient_distance
from worker.kinds.images.distillation.inducing_points import KernelSettings, scores
from worker.kinds.images.distillation.random_features import features, gaussian, kernel
from worker.kinds.images.distillation.ridge import centred, margin_term, platt_loss, predict, squared_loss
from worker.kinds.images.networks import build


def rows(n, d=6, seed=0):
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# Distributions


def test_equal_samples_have_no_distance():
    x = rows(9)
    shuffled = x[torch.randperm(9, generator=torch.Generator().manual_seed(1))]
    t = rows(40, seed=2)
    assert float(mean_discrepancy(x, shuffled)) == pytest.approx(0, abs=1e-20)
    assert float(mmd(x, shuffled)) == pytest.approx(0, abs=1e-12)
    assert float(cf_discrepancy(x, shuffled, t)) < 1e-3
    assert float(cf_discrepancy(x, rows(9, seed=3), t)) > 1


def test_means_alone_do_not_see_spread_and_the_others_do():
    x = rows(2000, 2)
    x = x - x.mean(0)
    wide = 3 * x
    t = rows(64, 2, seed=2)
    assert float(mean_discrepancy(x, wide)) == pytest.approx(0, abs=1e-20)
    assert float(mmd(x[:300], wide[:300])) > 0.05
    amplitude, phase = amplitude_and_phase(x, wide, t)
    assert float((amplitude + phase).mean()) > 0.05


def test_mmd_is_never_negative():
    for seed in range(20):
        assert float(mmd(rows(5, seed=seed), rows(3, seed=seed + 100))) > 0


def test_amplitude_and_phase_add_up_to_the_distance_of_the_characteristic_functions():
    real, syn, t = rows(30), rows(7, seed=1), rows(50, seed=2)
    amplitude, phase = amplitude_and_phase(real, syn, t)

    def function(x):
        return torch.exp(1j * (x @ t.T)).mean(0)

    torch.testing.assert_close(amplitude + phase, (function(real) - function(syn)).abs().square())
    assert float(amplitude.min()) >= 0
    assert float(amplitude.max()) <= 1


@pytest.mark.parametrize("loss", [mean_discrepancy, lambda r, s: cf_discrepancy(r, s, rows(8, seed=5))])
def test_discrepancies_have_the_gradient_of_differences(loss):
    real = rows(8)
    assert torch.autograd.gradcheck(lambda s: loss(real, s), (rows(3, seed=1).requires_grad_(True),))


# Gradients


def test_distance_of_gradients():
    g = [rows(4, 5), rows(4, 1)[:, 0], rows(3, 8, seed=1).view(3, 2, 2, 2)]
    assert float(gradient_distance(g, g)) == pytest.approx(0, abs=1e-4)
    scale = torch.tensor([1.0, 2.0, 0.5, 10.0], dtype=torch.float64)[:, None]
    assert float(gradient_distance(g, [g[0] * scale, g[1], g[2]])) == pytest.approx(0, abs=1e-4)
    assert float(gradient_distance(g, [-one for one in g])) == pytest.approx(2 * 7, abs=1e-4)
    assert float(gradient_distance(g, [g[0], -g[1], g[2]])) == pytest.approx(0, abs=1e-4)  # vectors are left out
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])
    assert float(gradient_distance([a], [b])) == pytest.approx(1 - 1 / math.sqrt(2), abs=1e-5)


def test_distance_of_gradients_is_differentiable_in_pixels():
    network = build("convnet", 1, 8, 3, seed=0, width=2, activation="sigmoid").double()
    y = torch.tensor([1, 1])
    wanted = [one.detach() for one in class_gradient(network, torch.ones(2, 1, 8, 8, dtype=torch.float64), y)]

    def distance(x):
        return gradient_distance(wanted, class_gradient(network, x, y, create_graph=True))

    x = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(distance, (x,), atol=1e-5)


def test_published_loops_and_those_between():
    assert [loops(n) for n in (1, 10, 50)] == [(1, 1), (10, 50), (50, 10)]
    assert loops(5) == (5, 50)
    assert loops(25) == (25, 20)


# Ridge regressions


def test_a_regression_on_everything_reproduces_its_labels():
    x, y = rows(12), torch.arange(12) % 3
    settings = KernelSettings(ridge=1e-10)
    torch.testing.assert_close(scores(settings, x, centred(y, 3), x), centred(y, 3), atol=1e-4, rtol=0)


def test_the_kernels_have_their_known_values():
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    from worker.numerics.ntk import nngp, ntk

    found = nngp(x)
    assert found[0, 1].item() == pytest.approx(0.336509, abs=1e-6)
    assert found[0, 2].item() == pytest.approx(1.088197, abs=1e-6)
    tangent = ntk(x)
    assert tangent[0, 1].item() == pytest.approx(0.341540, abs=1e-6)
    assert tangent[0, 2].item() == pytest.approx(1.846497, abs=1e-6)
    assert tangent.diagonal().tolist() == pytest.approx([2.03, 2.03, 4.03])


@pytest.mark.parametrize("name", ["ntk", "nngp"])
def test_kip_has_the_gradient_of_differences_also_where_a_real_image_is_a_support_one(name):
    settings = KernelSettings(name, depth=2, ridge=1e-2)
    start = rows(3, 4)
    x = torch.cat([start[:1] + 0.3, rows(4, 4, seed=2)])
    y = torch.tensor([0, 1, 1, 0, 1])
    labels = centred(torch.tensor([0, 1, 0]), 2)

    def loss(support):
        return squared_loss(scores(settings, support, labels, x), y)

    assert torch.autograd.gradcheck(loss, (start.clone().requires_grad_(True),))
    support = x[:3].clone().requires_grad_(True)  # c = 1: the derivative there is finite
    (gradient,) = torch.autograd.grad(loss(support), support)
    assert torch.isfinite(gradient).all()


def test_a_regression_in_features_is_ridge_regression():
    f, g = rows(9, 4), rows(5, 4, seed=1)
    labels = centred(torch.arange(9) % 3, 3)
    ridge = 1e-2
    alpha = ridge * float((f @ f.T).trace()) / 9
    expected = Ridge(alpha=alpha, fit_intercept=False).fit(f.numpy(), labels.numpy()).predict(g.numpy())
    np.testing.assert_allclose(predict(g @ f.T, f @ f.T, labels, ridge).numpy(), expected, rtol=1e-8)


def test_losses_of_scores():
    y = torch.tensor([0, 1])
    assert float(squared_loss(centred(y, 3), y)) == 0
    assert float(squared_loss(torch.zeros(2, 3), y)) == pytest.approx(((2 / 3) ** 2 + 2 / 9) / 2)
    assert float(platt_loss(torch.zeros(2, 3), y, torch.zeros(()))) == pytest.approx(math.log(3))
    sharp = platt_loss(centred(y, 3), y, torch.tensor(3.0))
    assert float(sharp) < 1e-6


def test_the_margin_term_is_within_its_bounds():
    assert float(margin_term(torch.eye(4))) == -0.25
    assert float(margin_term(torch.ones(3, 4))) == 0
    drawn = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    assert -0.25 <= float(margin_term(drawn)) <= 0


def test_random_features_keep_their_scale_through_depth():
    x = torch.randn(6, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    sizes = []
    for depth in (1, 2, 3):
        networks = [
            gaussian(build("convnet", 1, 32, 2, seed=s, width=64, norm="none", pool="none", depth=depth), s)
            for s in range(2)
        ]
        f = features(networks, x)
        sizes.append(float(kernel(f, f).diagonal().mean()))
    assert max(sizes) / min(sizes) < 1.6
    f = features(networks, x)
    torch.testing.assert_close(kernel(f, f), kernel(f, f).T)
