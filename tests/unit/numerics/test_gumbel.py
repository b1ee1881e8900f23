"""The relaxed sampler: its sums, its limit, its gradient and its memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats

from worker.numerics.gumbel import gumbel_noise, relaxed_mean
from worker.numerics.seeds import mix


def logits_of(n: int, items: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, items, generator=generator, dtype=dtype)


def naive(logits: torch.Tensor, tau: float, draws: int, seed: int, step: int) -> torch.Tensor:
    samples = [torch.softmax((logits + gumbel_noise(logits, seed, step, k)) / tau, 1) for k in range(draws)]
    return torch.stack(samples).mean(0)


@pytest.mark.parametrize("draws", [0, 1, 3, 50])
def test_row_sum_whatever_the_draws_is_one_per_draw(draws: int) -> None:
    logits = logits_of(5, 40, dtype=torch.float32)
    total = relaxed_mean(logits, tau=0.7, draws=draws, seed=1, step=2).sum(1) * max(draws, 1)
    assert torch.allclose(total, torch.full((5,), float(max(draws, 1))), rtol=1e-4)


def test_samples_when_tau_is_tiny_are_one_hot_with_softmax_frequencies() -> None:
    logits = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.1]], dtype=torch.float64))
    draws = 4000
    seen = np.zeros(4)
    for step in range(draws):
        sample = relaxed_mean(logits, tau=1e-7, draws=1, seed=7, step=step)[0]
        assert sample.max() > 0.999
        seen += sample.numpy() > 0.5
    expected = np.array([0.4, 0.3, 0.2, 0.1]) * draws
    assert stats.chisquare(seen, expected).pvalue > 0.001


@pytest.mark.parametrize("tau", [0.6, 1.0, 10.0])
def test_gradient_equals_that_of_the_naive_loop(tau: float) -> None:
    logits = 3 * logits_of(3, 7)
    weights = logits_of(3, 7, seed=5)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    (relaxed_mean(ours, tau=tau, draws=4, seed=3, step=9) * weights).sum().backward()
    (naive(theirs, tau, 4, 3, 9) * weights).sum().backward()
    assert torch.allclose(
        relaxed_mean(logits, tau=tau, draws=4, seed=3, step=9), naive(logits, tau, 4, 3, 9), atol=1e-12
    )
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-12)


def test_noise_is_a_function_of_seed_step_and_draw() -> None:
    like = torch.zeros(3, 5)
    first = gumbel_noise(like, 1, 2, 3)
    assert torch.equal(first, gumbel_noise(like, 1, 2, 3))
    for other in ((0, 2, 3), (1, 3, 2), (1, 2, 4), (2, 1, 3)):
        assert not torch.equal(first, gumbel_noise(like, *other))
    assert torch.isfinite(first).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_how_many_threads_share_the_rows_changes_no_bit(dtype: torch.dtype) -> None:
    logits, before = logits_of(7, 13, dtype=dtype), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 5, 16):
            torch.set_num_threads(threads)
            again = logits.clone().requires_grad_()
            mean = relaxed_mean(again, tau=2.0, draws=9, seed=4, step=1)
            mean.square().sum().backward()
            found.append((mean, again.grad))
    finally:
        torch.set_num_threads(before)
    for mean, grad in found[1:]:
        assert torch.equal(mean, found[0][0])
        assert torch.equal(grad, found[0][1])


def test_rows_draws_and_places_have_noise_of_their_own() -> None:
    noise = torch.stack([gumbel_noise(torch.zeros(30, 101, dtype=torch.float64), 1, 2, draw) for draw in range(30)])
    for axis in range(3):
        flat = noise.movedim(axis, 0).reshape(noise.shape[axis], -1).numpy()
        correlations = np.corrcoef(flat)[np.triu_indices(len(flat), 1)]
        assert np.abs(correlations).max() < 5.5 / np.sqrt(flat.shape[1])


def test_noise_of_many_numbers_has_the_gumbel_mean_and_variance() -> None:
    noise = gumbel_noise(torch.zeros(1000, 200, dtype=torch.float64), 0, 0, 0)
    assert abs(float(noise.mean()) - np.euler_gamma) < 0.01
    assert abs(float(noise.var()) - np.pi**2 / 6) < 0.02


def test_mix_of_neighbouring_counters_differs_in_the_low_bits_too() -> None:
    seeds = {mix(seed, step, draw) & 0xFFFFFFFF for seed in range(8) for step in range(40) for draw in range(5)}
    assert len(seeds) == 8 * 40 * 5
    assert mix(-1, 2) == mix(-1, 2) >= 0


def test_memory_kept_for_backward_does_not_grow_with_draws() -> None:
    kept = []
    for draws in (1, 64):
        saved: list[torch.Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, into=saved: into.append(t) or t, lambda t: t):
            relaxed_mean(logits_of(20, 50).requires_grad_(), tau=1.0, draws=draws, seed=0, step=0)
        kept.append(sum(tensor.numel() for tensor in saved))
    assert kept[0] == kept[1] == 2 * 20 * 50, "logits and mean"


def test_peak_memory_does_not_grow_with_draws() -> None:
    script = """
import resource, torch
from worker.numerics.gumbel import relaxed_mean
logits = torch.zeros(400, 2500, requires_grad=True)  # 4 MB a draw
def peak(draws):
    relaxed_mean(logits, tau=1.0, draws=draws, seed=0, step=0).sum().backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
few = peak(3)
print(peak(40) - few)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20_000  # kB; 40 draws kept would be 160,000


def test_second_derivative_is_refused_not_wrong() -> None:
    logits = logits_of(2, 3).requires_grad_()
    mean = relaxed_mean(logits, tau=1.0, draws=2, seed=0, step=0)
    (grad,) = torch.autograd.grad((mean**2).sum(), logits, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
