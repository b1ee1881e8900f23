"""How far the gradient that synthetic images give is from that of real ones (DC, arXiv:2006.05929, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def gradient_distance(real: Sequence[Tensor], syn: Sequence[Tensor]) -> Tensor:
    """Sum over weights and their output units of 1 - cos(row of syn, row of real); at most 2 a unit.

    A weight (out, ...) is flattened to (out, rest). Vectors (biases, norms) are left out, as in the published code.
    """
    total = real[0].new_zeros(())
    for one, other in zip(real, syn, strict=True):
        if one.ndim < 2:
            continue
        r, s = one.flatten(1), other.flatten(1)
        cosine = (r * s).sum(1) / (torch.linalg.vector_norm(r, dim=1) * torch.linalg.vector_norm(s, dim=1) + 1e-6)
        total = total + (1 - cosine).sum()
    return total


def class_gradient(network: nn.Module, x: Tensor, y: Tensor, *, create_graph: bool = False) -> tuple[Tensor, ...]:
    """The gradient of the mean cross-entropy of images (n, c, h, w) of classes (n,), by parameter that is matched: a
    bias would be summed over all pixels for nothing."""
    loss = functional.cross_entropy(network(x), y)
    matched = [one for one in network.parameters() if one.ndim >= 2]
    return torch.autograd.grad(loss, matched, create_graph=create_graph)
