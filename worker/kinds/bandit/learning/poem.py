"""POEM: the value less a penalty on its own standard error, and the bound that makes mini-batches possible.

Minimise -mean(u) + lam sqrt(var(u)/n), u = min(w, M) r, var with ddof 1 (Swaminathan, Joachims 2015). The square root
couples all rounds; since it is concave, and -ubar^2 lies below its tangent, with ubar0 and V0 at the start of an epoch

    -mean(u) + C mean(u) + B mean(u^2) + constant,   B = lam sqrt(n) / (2 (n-1) sqrt(V0)),   C = -2 B ubar0

lies above the loss everywhere, touches it with equal gradient at the expansion point, and is a plain mean of rounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Expansion:
    """B, C and the constant that makes the bound touch."""

    square: float
    linear: float
    constant: float


@torch.no_grad()
def expand(u: Tensor, lam: float, count: Tensor | None = None) -> Expansion:
    """The bound at the present u (n,) of all rounds; without spread (V0 = 0) the penalty is dropped."""
    n = float(len(u) if count is None else count.sum())
    mean = float(_mean(u, count))
    variance = float(_variance(u, count))
    # All u equal leaves rounding noise of the order of eps^2 u^2 instead of zero.
    if n < 2 or variance <= 1e-24 * max(1.0, mean * mean):
        return Expansion(0.0, 0.0, 0.0)
    square = lam * math.sqrt(n) / (2.0 * (n - 1.0) * math.sqrt(variance))
    constant = lam * math.sqrt(variance / n) / 2.0 + square * mean * mean
    return Expansion(square, -2.0 * square * mean, constant)


def poem(u: Tensor, lam: float, count: Tensor | None = None) -> Tensor:
    """The loss -mean(u) + lam sqrt(var(u)/n) of all rounds; the penalty is dropped where all u are equal."""
    n = float(len(u) if count is None else count.sum())
    variance = _variance(u, count)
    mean = _mean(u, count)
    if lam == 0 or n < 2 or float(variance.detach()) <= 1e-24 * max(1.0, float(mean.detach()) ** 2):
        return -mean
    return -mean + lam * (variance / n).sqrt()


def poem_majorised(u: Tensor, expansion: Expansion, count: Tensor | None = None) -> Tensor:
    """The bound of the loss on some rounds: -mean(u) + C mean(u) + B mean(u^2) + constant."""
    return _mean((expansion.linear - 1.0) * u + expansion.square * u * u, count) + expansion.constant


def _mean(u: Tensor, count: Tensor | None) -> Tensor:
    return u.mean() if count is None else (count * u).sum() / count.sum()


def _variance(u: Tensor, count: Tensor | None) -> Tensor:
    """ddof 1; a row of weight c counts as c rounds of the same value."""
    spread = u - _mean(u, count)
    if count is None:
        return (spread * spread).sum() / max(len(u) - 1, 1)
    return (count * spread * spread).sum() / (count.sum() - 1.0).clamp(min=1.0)
