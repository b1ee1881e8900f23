"""Sharpness-aware gradients (Foret et al., arXiv:2010.01412, algorithm 1; equation 2 with p = 2).

    e = rho g / (||g||_2 + 1e-12),   g = grad L(w),   and the optimiser steps from w with grad L(w + e)

The norm is over all parameters together, both passes see the same batch, and batch norms count the first pass alone.
Twice the cost of a plain step; rho 0 is the plain step, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def gradients(network: nn.Module, loss: Callable[[], Tensor], rho: float) -> float:
    """Leave in `.grad` of every trainable parameter what an optimiser should step with; returns L(w).

    `loss`: the loss of the network on one batch, which is evaluated twice where rho > 0.
    """
    network.zero_grad(set_to_none=True)
    first = loss()
    first.backward()
    if rho > 0:
        there = [one for one in network.parameters() if one.grad is not None]
        with torch.no_grad():
            norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(one.grad) for one in there]))
            before = [one.detach().clone() for one in there]
            for one in there:
                one.add_(one.grad, alpha=rho / (float(norm) + 1e-12))
        network.zero_grad(set_to_none=True)
        with _still_statistics(network):
            loss().backward()
        with torch.no_grad():
            for one, value in zip(there, before, strict=True):
                one.copy_(value)  # not less e: rounding would move what the gradient does not
    return float(first.detach())


@contextmanager
def _still_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norms keep their running statistics within."""
    norms = [one for one in network.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    kept = [one.momentum for one in norms]
    counted = [None if one.num_batches_tracked is None else one.num_batches_tracked.clone() for one in norms]
    for one in norms:
        one.momentum = 0.0
    try:
        yield
    finally:
        for one, momentum, count in zip(norms, kept, counted, strict=True):
            one.momentum = momentum
            if count is not None and one.num_batches_tracked is not None:
                one.num_batches_tracked.copy_(count)
