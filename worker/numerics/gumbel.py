"""Relaxed sampling of items for a matrix of learnable logits, in memory that does not grow with the draws.

Distill-CF (arXiv:2206.02626, section 4) turns logits P (n, I) into soft rows by averaging `draws` relaxed categorical
samples per row:

    g_k ~ Gumbel(0, 1)^(n, I),   s_k = softmax((P + g_k) / tau),   mean = 1/draws * sum_k s_k

Ordinary differentiation would keep every s_k. Here the backward pass draws the same noise again and
accumulates

    dP += 1 / (tau * draws) * s_k * (G - <s_k, G>_row)        with G the gradient with respect to the mean,

so that time is O(draws n I) forward and again backward, and memory O(n I). The noise of draw k is a function of (seed,
step, k) alone: forward and backward agree on any device, and a resumed run repeats the undisturbed one. On the CPU
most of the time was drawing numbers and two logarithms of each: there 16 random bits choose one of 65,536 quantiles of
the Gumbel distribution, whose mean and variance are off by less than 0.001.
The published code returns the sum of the draws and so ties the row mass to the number of draws; the mean
leaves the two free of each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from worker.numerics.seeds import mix

_LOOKED_UP_FROM = 1.0  # tau
_LOWEST, _HIGHEST = 1e-20, 1.0 - 6e-8  # u = 0 or 1 would make the noise infinite


def gumbel_noise(like: torch.Tensor, seed: int, step: int, draw: int, out: torch.Tensor | None = None) -> torch.Tensor:
    """Gumbel(0, 1) noise of `like`'s shape, dtype and device; a function of (seed, step, draw) on that device."""
    noise = torch.empty(like.shape, dtype=like.dtype, device=like.device) if out is None else out
    if like.device.type == "cpu":
        bits = _bits(noise.shape, seed, step, draw)
        np.take(_quantiles(noise.numpy().dtype.str), bits, out=noise.numpy(), mode="clip")
        return noise
    generator = torch.Generator(device=like.device).manual_seed(mix(seed, step, draw))
    torch.rand(like.shape, generator=generator, out=noise)
    return noise.clamp_(_LOWEST, _HIGHEST).log_().neg_().log_().neg_()


@cache
def _quantiles(dtype: str) -> np.ndarray:
    """The middles of 65,536 equally probable parts of the Gumbel distribution."""
    middles = (np.arange(1 << 16) + 0.5) / (1 << 16)
    return (-np.log(-np.log(middles))).astype(dtype)


@cache
def _powers(dtype: str, tau: float) -> np.ndarray:
    """exp(g / tau) of these quantiles, the largest one being 1."""
    noise = _quantiles("<f8")
    return np.exp((noise - noise[-1]) / tau).astype(dtype)


def _bits(shape: torch.Size, seed: int, step: int, draw: int) -> np.ndarray:
    """16 random bits for every number."""
    count = shape.numel()
    raw = np.random.SFC64(mix(seed, step, draw)).random_raw(-(-count // 4))
    return raw.astype("<u8", copy=False).view("<u2")[:count].reshape(shape)


def relaxed_mean(logits: torch.Tensor, *, tau: float, draws: int, seed: int, step: int) -> torch.Tensor:
    """Mean of `draws` Gumbel-softmax samples of each row of `logits` (n, I); every row of the result sums to 1.

    `draws` 0 is the mean field, softmax(logits / tau) without noise. One draw is in memory at a time: that is flat in
    the number of draws, and fast because its numbers stay in the cache. Differentiable once.
    """
    if draws == 0:
        return torch.softmax(logits / tau, dim=1)
    result: torch.Tensor = _RelaxedMean.apply(logits, tau, draws, seed, step)
    return result


def _samples(
    logits: torch.Tensor, tau: float, draws: int, seed: int, step: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Every draw's unnormalised probabilities (n, I) and their row sums (n, 1) in turn, in the same tensors.

    exp((P + g) / tau) is exp(P / tau) exp(g / tau): with quantiles the second is looked up and no exponential is left.
    At a small tau it would vanish, and the softmax is taken as it stands.
    """
    noise, sample = torch.empty_like(logits), torch.empty_like(logits)
    if logits.device.type != "cpu" or tau < _LOOKED_UP_FROM:
        one = torch.ones_like(logits[:, :1])
        for draw in range(draws):
            gumbel_noise(logits, seed, step, draw, out=noise)
            yield torch.softmax(noise.add_(logits).div_(tau), dim=1, out=sample), one
        return
    own = ((logits - logits.amax(dim=1, keepdim=True)) / tau).exp_()
    powers = _powers(sample.numpy().dtype.str, tau)
    for draw in range(draws):
        np.take(powers, _bits(sample.shape, seed, step, draw), out=sample.numpy(), mode="clip")
        sample.mul_(own)
        yield sample, sample.sum(dim=1, keepdim=True)


class _RelaxedMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, tau: float, draws: int, seed: int, step: int) -> torch.Tensor:
        ctx.settings = tau, draws, seed, step
        total = torch.zeros_like(logits)
        for sample, sums in _samples(logits, tau, draws, seed, step):
            total.addcdiv_(sample, sums)
        mean = total.div_(draws)
        ctx.save_for_backward(logits, mean)
        return mean

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        logits, mean = ctx.saved_tensors
        tau, draws, seed, step = ctx.settings
        total = torch.zeros_like(logits)  # of s_k <s_k, G>; the sum of s_k G is known from the mean
        for sample, sums in _samples(logits, tau, draws, seed, step):
            total.addcmul_(sample, torch.linalg.vecdot(sample, gradient)[:, None] / (sums * sums))
        return (gradient * mean).sub_(total.div_(draws)).div_(tau), None, None, None, None
