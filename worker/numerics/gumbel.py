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
the Gumbel distribution, whose mean and variance are off by less than 0.001 (`worker.numerics.gumbel_loops`).
The published code returns the sum of the draws and so ties the row mass to the number of draws; the mean
leaves the two free of each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from worker.numerics import gumbel_loops
from worker.numerics.seeds import mix

_LOOKED_UP_FROM = 1.0  # tau
_LOWEST, _HIGHEST = 1e-20, 1.0 - 6e-8  # u = 0 or 1 would make the noise infinite


def gumbel_noise(like: torch.Tensor, seed: int, step: int, draw: int, out: torch.Tensor | None = None) -> torch.Tensor:
    """Gumbel(0, 1) noise of `like`'s shape, dtype and device; a function of (seed, step, draw) on that device."""
    noise = torch.empty(like.shape, dtype=like.dtype, device=like.device) if out is None else out
    if like.device.type == "cpu":
        gumbel_loops.noise(_quantiles(noise.numpy().dtype.str), mix(seed, step), draw, noise.numpy())
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


def relaxed_mean(logits: torch.Tensor, *, tau: float, draws: int, seed: int, step: int) -> torch.Tensor:
    """Mean of `draws` Gumbel-softmax samples of each row of `logits` (n, I); every row of the result sums to 1.

    `draws` 0 is the mean field, softmax(logits / tau) without noise. One draw is in memory at a time: that is flat in
    the number of draws, and fast because its numbers stay in the cache. Differentiable once.
    """
    if draws == 0:
        return torch.softmax(logits / tau, dim=1)
    result: torch.Tensor = _RelaxedMean.apply(logits, tau, draws, seed, step)
    return result


class _RelaxedMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, tau: float, draws: int, seed: int, step: int) -> torch.Tensor:
        ctx.settings = tau, draws, seed, step
        mean = (_LookedUp if _can_be_looked_up(logits, tau) else _Drawn)(logits, *ctx.settings).mean()
        ctx.save_for_backward(logits, mean)
        return mean

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        logits, mean = ctx.saved_tensors
        tau = ctx.settings[0]
        samples = (_LookedUp if _can_be_looked_up(logits, tau) else _Drawn)(logits, *ctx.settings)
        # the mean of s_k G is known from that of s_k
        return (gradient * mean).sub_(samples.projected(gradient)).div_(tau), None, None, None, None


def _can_be_looked_up(logits: torch.Tensor, tau: float) -> bool:
    """Whether exp(g / tau) may be: at a small tau it would vanish, and the softmax is taken as it stands."""
    return logits.device.type == "cpu" and tau >= _LOOKED_UP_FROM


@dataclass(frozen=True)
class _LookedUp:
    """The samples on a CPU: exp((P + g) / tau) is exp(P / tau) exp(g / tau), of which the second is looked up."""

    logits: torch.Tensor
    tau: float
    draws: int
    seed: int
    step: int

    def mean(self) -> torch.Tensor:
        """The mean of s_k (n, I)."""
        out = torch.empty_like(self.logits, memory_format=torch.contiguous_format)
        gumbel_loops.samples_mean(*self._tables(), mix(self.seed, self.step), self.draws, out.numpy())
        return out

    def projected(self, gradient: torch.Tensor) -> torch.Tensor:
        """The mean of s_k <s_k, G> (n, I)."""
        out = torch.empty_like(self.logits, memory_format=torch.contiguous_format)
        key, given = mix(self.seed, self.step), gradient.contiguous().numpy()
        gumbel_loops.samples_projected(*self._tables(), key, self.draws, given, out.numpy())
        return out

    def _tables(self) -> tuple[np.ndarray, np.ndarray]:
        highest = self.logits.amax(dim=1, keepdim=True)
        own = ((self.logits - highest) / self.tau).exp_().contiguous().numpy()
        return _powers(own.dtype.str, self.tau), own


@dataclass(frozen=True)
class _Drawn:
    """The samples anywhere, one draw in memory at a time."""

    logits: torch.Tensor
    tau: float
    draws: int
    seed: int
    step: int

    def mean(self) -> torch.Tensor:
        """The mean of s_k (n, I)."""
        total = torch.zeros_like(self.logits)
        for sample in self._samples():
            total.add_(sample)
        return total.div_(self.draws)

    def projected(self, gradient: torch.Tensor) -> torch.Tensor:
        """The mean of s_k <s_k, G> (n, I)."""
        total = torch.zeros_like(self.logits)
        for sample in self._samples():
            total.addcmul_(sample, torch.linalg.vecdot(sample, gradient)[:, None])
        return total.div_(self.draws)

    def _samples(self) -> Iterator[torch.Tensor]:
        """s_k of every draw, in the same tensor."""
        noise, sample = torch.empty_like(self.logits), torch.empty_like(self.logits)
        for draw in range(self.draws):
            gumbel_noise(self.logits, self.seed, self.step, draw, out=noise)
            yield torch.softmax(noise.add_(self.logits).div_(self.tau), dim=1, out=sample)
