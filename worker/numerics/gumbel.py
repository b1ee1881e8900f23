"""Relaxed sampling of items for a matrix of learnable logits, in memory that does not grow with the draws.

Distill-CF (arXiv:2206.02626, section 4) turns logits P (n, I) into soft rows by averaging `draws` relaxed categorical
samples per row:

    g_k ~ Gumbel(0, 1)^(n, I),   s_k = softmax((P + g_k) / tau),   mean = 1/draws * sum_k s_k

Ordinary differentiation would keep every s_k. Here the backward pass draws the same noise again and
accumulates

    dP += 1 / (tau * draws) * s_k * (G - <s_k, G>_row)        with G the gradient with respect to the mean,

so that time is O(draws n I) forward and again backward, and memory O(n I). The noise of draw k is a function
of (seed, step, k) alone: forward and backward agree on any device, and a resumed run repeats the undisturbed
one. The published code returns the sum of the draws and so ties the row mass to the number of draws; the mean
leaves the two free of each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from worker.numerics.seeds import mix

_LOWEST, _HIGHEST = 1e-20, 1.0 - 6e-8  # u = 0 or 1 would make the noise infinite


def gumbel_noise(like: torch.Tensor, seed: int, step: int, draw: int, out: torch.Tensor | None = None) -> torch.Tensor:
    """Gumbel(0, 1) noise of `like`'s shape, dtype and device; a function of (seed, step, draw) on that device."""
    generator = torch.Generator(device=like.device).manual_seed(mix(seed, step, draw))
    noise = torch.empty_like(like) if out is None else out
    torch.rand(like.shape, generator=generator, out=noise)
    return noise.clamp_(_LOWEST, _HIGHEST).log_().neg_().log_().neg_()


def relaxed_mean(logits: torch.Tensor, *, tau: float, draws: int, seed: int, step: int) -> torch.Tensor:
    """Mean of `draws` Gumbel-softmax samples of each row of `logits` (n, I); every row of the result sums to 1.

    `draws` 0 is the mean field, softmax(logits / tau) without noise. One draw is in memory at a time: that is flat in
    the number of draws, and fast because its numbers stay in the cache. Differentiable once.
    """
    if draws == 0:
        return torch.softmax(logits / tau, dim=1)
    result: torch.Tensor = _RelaxedMean.apply(logits, tau, draws, seed, step)  # type: ignore[assignment]
    return result


def _samples(logits: torch.Tensor, tau: float, draws: int, seed: int, step: int) -> Iterator[torch.Tensor]:
    """Every draw's softmax (n, I) in turn, in one and the same tensor."""
    noise, sample = torch.empty_like(logits), torch.empty_like(logits)
    for draw in range(draws):
        gumbel_noise(logits, seed, step, draw, out=noise)
        yield torch.softmax(noise.add_(logits).div_(tau), dim=1, out=sample)


class _RelaxedMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, tau: float, draws: int, seed: int, step: int) -> torch.Tensor:
        ctx.save_for_backward(logits)
        ctx.settings = tau, draws, seed, step
        total = torch.zeros_like(logits)
        for sample in _samples(logits, tau, draws, seed, step):
            total += sample
        return total.div_(draws)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (logits,) = ctx.saved_tensors
        tau, draws, seed, step = ctx.settings
        total, weighted = torch.zeros_like(logits), torch.empty_like(logits)
        for sample in _samples(logits, tau, draws, seed, step):
            torch.mul(sample, gradient, out=weighted)
            total += weighted.sub_(sample.mul_(weighted.sum(dim=1, keepdim=True)))
        return total.div_(tau * draws), None, None, None, None
