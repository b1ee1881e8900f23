"""Neural tangent kernel of a fully connected ReLU network, from rows or from their Gram matrix.

The network has `depth` hidden layers in NTK parameterisation; every layer, the output included, is z =
(sqrt(2) / sqrt(fan_in)) W a + 0.1 b with W, b ~ N(0, 1). The recursion is the arc-cosine one (Cho and Saul
2009; Jacot et al. 2018; constants of arXiv:2206.02626). Two things differ from published code: the diagonal
of K(X, X) is set from its closed form, since arccos(1 - 1e-8) loses half of the digits, and both angle
functions have their own derivative, since automatic differentiation through arccos and sqrt gives NaN where
two rows are parallel.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

WEIGHT_VARIANCE = 2.0
BIAS_VARIANCE = 0.01
_CPU_BLOCK = 512  # a block and its temporaries stay in the level-2 cache
_GPU_BLOCK = 4096


@contextmanager
def full_precision() -> Generator[None, None, None]:
    """Float32 products in full float32: TF32's three decimal digits are not enough for a small ridge."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class _Angles(torch.autograd.Function):
    """c -> (sqrt(1 - c^2) + (pi - arccos c) c, pi - arccos c), the order-1 and order-0 arc-cosine functions.

    The first has derivative pi - arccos c (its singular parts cancel); the second 1 / sqrt(1 - c^2), taken
    as 0 where rows are parallel: there c is at its maximum and does not move to first order.
    """

    @staticmethod
    def forward(ctx: Any, c: Tensor) -> tuple[Tensor, Tensor]:
        order1, order0 = _angles(c)
        ctx.save_for_backward(c, order0)
        return order1, order0

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad1: Tensor, grad0: Tensor) -> Tensor:
        c, order0 = ctx.saved_tensors
        sine2 = (1 - c) * (1 + c)
        parallel = sine2 < (1e-12 if c.dtype == torch.float64 else 1e-6)
        slope = sine2.masked_fill_(parallel, 1).rsqrt_().masked_fill_(parallel, 0)
        return torch.addcmul(grad1 * order0, grad0, slope)


def _angles(c: Tensor) -> tuple[Tensor, Tensor]:
    order0 = torch.acos(c).neg_().add_(math.pi)
    order1 = (1 - c).mul_(1 + c).sqrt_().addcmul_(order0, c)
    return order1, order0


def arc_cosines(c: Tensor) -> tuple[Tensor, Tensor]:
    """(k1, k0) of cosines c in [-1, 1], the arc-cosine kernels of order 1 and 0 with k1(1) = k0(1) = 1; differentiable
    where rows are parallel, too."""
    order1, order0 = _Angles.apply(c) if c.requires_grad else _angles(c)
    return order1 / math.pi, order0 / math.pi


def _first_layer(gram: Tensor, dim: int) -> Tensor:
    return gram * (WEIGHT_VARIANCE / dim) + BIAS_VARIANCE


def _propagate(s: Tensor, diag_x: Tensor, diag_y: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    """(S, T) after `depth` layers from S0 (n, m) and the diagonals S0(x, x) (n,), S0(y, y) (m,)."""
    t = s
    for _ in range(depth):
        norm = torch.outer(diag_x.sqrt(), diag_y.sqrt())
        c = (s / norm).clamp(-1, 1)
        order1, order0 = _Angles.apply(c) if c.requires_grad else _angles(c)
        s = order1 * norm * (WEIGHT_VARIANCE / (2 * math.pi)) + BIAS_VARIANCE
        t = order0 * t * (WEIGHT_VARIANCE / (2 * math.pi)) + s
        diag_x, diag_y = diag_x + BIAS_VARIANCE, diag_y + BIAS_VARIANCE
    return s, t


def ntk_diagonal(sq: Tensor, dim: int, *, depth: int = 1) -> Tensor:
    """K(x, x) (n,) in closed form from squared row norms (n,) of rows with `dim` columns."""
    s = _first_layer(sq, dim)
    t = s
    for _ in range(depth):
        s = s + BIAS_VARIANCE
        t = t + s
    return t


def nngp_diagonal(sq: Tensor, dim: int, *, depth: int = 1) -> Tensor:
    """The NNGP kernel's diagonal (n,) in closed form from squared row norms (n,)."""
    return _first_layer(sq, dim) + depth * BIAS_VARIANCE


def ntk_from_gram(
    gram: Tensor,
    sq_x: Tensor,
    sq_y: Tensor,
    *,
    dim: int,
    depth: int = 1,
    symmetric: bool = False,
    overwrite: bool = False,
) -> Tensor:
    """NTK (n, m) from a Gram matrix (n, m) and the squared norms (n,), (m,) of rows with `dim` columns.

    `symmetric`: both sides are the same rows; the diagonal is then exact and half of the work is saved.
    `overwrite`: the result takes the Gram matrix's memory (only without gradients). Differentiable with
    respect to all three tensors; without gradients it works in blocks, so it needs no second matrix of that
    size.
    """
    return _kernel(gram, sq_x, sq_y, dim, depth, symmetric, overwrite, tangent=True)


def nngp_from_gram(
    gram: Tensor,
    sq_x: Tensor,
    sq_y: Tensor,
    *,
    dim: int,
    depth: int = 1,
    symmetric: bool = False,
    overwrite: bool = False,
) -> Tensor:
    """NNGP kernel (n, m) from a Gram matrix; arguments as in `ntk_from_gram`."""
    return _kernel(gram, sq_x, sq_y, dim, depth, symmetric, overwrite, tangent=False)


def ntk(x: Tensor, y: Tensor | None = None, *, depth: int = 1) -> Tensor:
    """NTK K(x, y) (n, m) of rows x (n, d) and y (m, d), or K(x, x) with its exact diagonal;
    differentiable."""
    return ntk_from_gram(**_gram(x, y), depth=depth)


def nngp(x: Tensor, y: Tensor | None = None, *, depth: int = 1) -> Tensor:
    """NNGP kernel (n, m) of rows x (n, d) and y (m, d): the covariance of the wide network's output at
    birth."""
    return nngp_from_gram(**_gram(x, y), depth=depth)


def _gram(x: Tensor, y: Tensor | None) -> dict[str, Any]:
    other = x if y is None else y
    if x.shape[1] != other.shape[1]:
        raise ValueError(f"rows of {x.shape[1]} and of {other.shape[1]} columns have no common kernel")
    with full_precision():
        gram = x @ other.T
    sq_x = x.square().sum(1)
    sq_y = sq_x if y is None else other.square().sum(1)
    fresh = not (torch.is_grad_enabled() and gram.requires_grad)
    return {
        "gram": gram, "sq_x": sq_x, "sq_y": sq_y, "dim": x.shape[1], "symmetric": y is None, "overwrite": fresh,
    }  # fmt: skip


def _kernel(
    gram: Tensor,
    sq_x: Tensor,
    sq_y: Tensor,
    dim: int,
    depth: int,
    symmetric: bool,
    overwrite: bool,
    tangent: bool,
) -> Tensor:
    if depth < 1:
        raise ValueError("depth must be at least 1")
    diagonal = (ntk_diagonal if tangent else nngp_diagonal)(sq_x, dim, depth=depth)
    diag_x, diag_y = _first_layer(sq_x, dim), _first_layer(sq_y, dim)
    if torch.is_grad_enabled() and any(part.requires_grad for part in (gram, sq_x, sq_y)):
        out = _propagate(_first_layer(gram, dim), diag_x, diag_y, depth)[tangent]
        return torch.diagonal_scatter(out, diagonal) if symmetric else out
    with torch.no_grad():
        out = gram if overwrite else torch.empty_like(gram)
        for rows, columns in _blocks(gram, symmetric):
            first = _first_layer(gram[rows, columns], dim)
            block = _propagate(first, diag_x[rows], diag_y[columns], depth)[tangent]
            out[rows, columns] = block
            if symmetric and rows != columns:
                out[columns, rows] = block.T
        if symmetric:
            out.diagonal().copy_(diagonal)
    return out


def _blocks(gram: Tensor, symmetric: bool) -> Iterator[tuple[slice, slice]]:
    size = _CPU_BLOCK if gram.device.type == "cpu" else _GPU_BLOCK
    n, m = gram.shape
    for i in range(0, n, size):
        for j in range(i if symmetric else 0, m, size):
            yield slice(i, min(i + size, n)), slice(j, min(j + size, m))
