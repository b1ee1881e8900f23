"""Kernel ridge regression: one factorisation, many right-hand sides, and a ridge that is scale free.

K_reg = K + |lambda| tr(K)/n I (arXiv:2206.02626, official code). Float64 up to 4,000 rows, float32 beyond; a
factorisation that fails is tried again with jitter 1e-6, 1e-5, 1e-4, 1e-3 times tr(K)/n, then in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from scipy import sparse
from torch import Tensor

from worker.numerics.gram import densify
from worker.numerics.ntk import full_precision

DOUBLE_UP_TO = 4000
JITTERS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3)
_SEARCH = tuple(10.0**exponent for exponent in range(-12, 3))
_COLUMNS = 4096


class NotPositiveDefinite(ArithmeticError):
    """No jitter made the kernel positive definite; `smallest` is the least lambda that works, None if none
    does."""

    def __init__(self, lam: float, smallest: float | None) -> None:
        usable = "no ridge helps" if smallest is None else f"the smallest usable lambda is {smallest:g}"
        super().__init__(f"the kernel with lambda {lam:g} is not positive definite; {usable}")
        self.smallest = smallest


@dataclass(frozen=True)
class Factor:
    """Cholesky factor L (n, n) of K + (lambda + jitter) tr(K)/n I. `jitter` is 0 unless it was needed."""

    lower: Tensor
    lam: float
    jitter: float

    def solve(self, rhs: Tensor | sparse.sparray) -> Tensor:
        """(K_reg)^-1 rhs (n, r), in the factor's dtype.

        Of a scipy sparse right-hand side 4,096 columns are dense at a time.
        """
        if isinstance(rhs, Tensor):
            with full_precision():
                return torch.cholesky_solve(rhs.to(self.lower.dtype), self.lower)
        columns = sparse.csc_array(rhs)
        out = self.lower.new_empty(columns.shape)
        for start in range(0, columns.shape[1], _COLUMNS):
            part = slice(start, start + _COLUMNS)
            out[:, part] = self.solve(densify(columns[:, part], device=out.device, dtype=out.dtype))
        return out


def precision(n: int) -> torch.dtype:
    """The dtype in which a kernel of n rows is built and factorised."""
    return torch.float64 if n <= DOUBLE_UP_TO else torch.float32


def factorise(kernel: Tensor, lam: float) -> Factor:
    """Factor of K + |lam| tr(K)/n I for a symmetric kernel (n, n), with the jitter ladder.

    Needs one more matrix of the kernel's size. Raises `NotPositiveDefinite` with the smallest usable
    lambda, or `ValueError` for a kernel with non-finite values.
    """
    n = kernel.shape[0]
    scale = float(kernel.diagonal().double().mean())
    if not torch.stack(kernel.aminmax()).isfinite().all():
        raise ValueError("the kernel has values that are not finite")
    dtypes = dict.fromkeys((torch.promote_types(kernel.dtype, precision(n)), torch.float64))
    for dtype in dtypes:
        for jitter in JITTERS:
            lower = _cholesky(kernel, (abs(lam) + jitter) * scale, dtype)
            if lower is not None:
                return Factor(lower, abs(lam), jitter)
    usable = (value for value in _SEARCH if _cholesky(kernel, value * scale, torch.float64) is not None)
    raise NotPositiveDefinite(lam, next(usable, None))


def _cholesky(kernel: Tensor, ridge: float, dtype: torch.dtype) -> Tensor | None:
    regularised = kernel.to(dtype, copy=True)
    _symmetrise_(regularised)
    regularised.diagonal().add_(ridge)
    with full_precision():
        lower, info = torch.linalg.cholesky_ex(regularised)
    return lower if int(info) == 0 and bool(torch.isfinite(lower.diagonal()).all()) else None


def _symmetrise_(kernel: Tensor, block: int = 1024) -> None:
    """K <- (K + K^T)/2 in blocks, so that no third matrix of that size is needed."""
    for i in range(0, kernel.shape[0], block):
        for j in range(i, kernel.shape[0], block):
            upper, lower = kernel[i : i + block, j : j + block], kernel[j : j + block, i : i + block]
            mean = (upper + lower.T).div_(2)
            upper.copy_(mean)
            lower.copy_(mean.T)


def solve(kernel: Tensor, rhs: Tensor, lam: float) -> Tensor:
    """alpha = (K + |lam| tr(K)/n I)^-1 rhs (n, r) for a symmetric kernel (n, n)."""
    return factorise(kernel, lam).solve(rhs)


def ridge_solve(kernel: Tensor, rhs: Tensor, lam: float) -> Tensor:
    """As `solve`, differentiable in kernel (n, n) and right-hand side (n, r), the trace's share included.

    The backward pass reuses the factor: two triangular solves and one outer product, instead of automatic
    differentiation through the factorisation. The kernel's gradient is symmetric.
    """
    return _RidgeSolve.apply(kernel, rhs, lam)


class _RidgeSolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernel: Tensor, rhs: Tensor, lam: float) -> Tensor:
        factor = factorise(kernel, lam)
        alpha = factor.solve(rhs)
        ctx.save_for_backward(factor.lower, alpha)
        ctx.ridge = factor.lam + factor.jitter
        ctx.dtypes = kernel.dtype, rhs.dtype
        return alpha.to(rhs.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        lower, alpha = ctx.saved_tensors
        with full_precision():
            grad_rhs = torch.cholesky_solve(grad.to(lower.dtype), lower)
            grad_kernel = None
            if ctx.needs_input_grad[0]:
                outer = grad_rhs @ alpha.T
                grad_kernel = (outer + outer.T).div_(-2)
                grad_kernel.diagonal().add_(grad_kernel.trace() * (ctx.ridge / lower.shape[0]))
                grad_kernel = grad_kernel.to(ctx.dtypes[0])
        return grad_kernel, grad_rhs.to(ctx.dtypes[1]), None
