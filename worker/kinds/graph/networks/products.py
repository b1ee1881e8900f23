"""Products with a constant sparse matrix that gradients pass through, of any order, on any device.

torch's own gradient of a sparse product sorts the transpose anew at every step. Here the transpose is kept beside the
matrix, and the gradient is a product of the same sort, so that it can be differentiated again.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from worker.kinds.graph.features import Features


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, dense: Tensor) -> Tensor:
        ctx.matrix, ctx.transposed = matrix, transposed
        return matrix @ dense

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _Product.apply(ctx.transposed, ctx.matrix, gradients[0])


class Sparse:
    """A constant sparse matrix (n, m) as CSR, with its transpose."""

    def __init__(self, matrix: Tensor, transposed: Tensor) -> None:
        self.matrix, self.transposed = matrix, transposed
        self.shape = tuple(matrix.shape)

    @classmethod
    def of(cls, matrix: sparse.csr_array, device: str = "cpu", *, symmetric: bool = False) -> Sparse:
        """From scipy, float32. `symmetric`: it is its own transpose."""
        there = _csr(matrix, device)
        return cls(there, there if symmetric else _csr(matrix.T.tocsr(), device))

    @cached_property
    def entries(self) -> tuple[Tensor, Tensor]:
        """Row and column of every stored entry, int64 (nnz,)."""
        crow = self.matrix.crow_indices()
        rows = torch.repeat_interleave(torch.arange(len(crow) - 1, device=crow.device), crow.diff())
        return rows, self.matrix.col_indices()

    @cached_property
    def diagonal(self) -> Tensor:
        """The diagonal (n,), 0 where nothing is stored."""
        rows, columns = self.entries
        own = rows == columns
        found = torch.zeros(self.shape[0], device=rows.device)
        found[rows[own]] = self.matrix.values()[own]
        return found

    def __matmul__(self, dense: Tensor) -> Tensor:
        """The product (n, k) with a dense matrix (m, k)."""
        return _Product.apply(self.matrix, self.transposed, dense)


def _csr(matrix: sparse.csr_array, device: str) -> Tensor:
    rows = sparse.csr_array(matrix, dtype=np.float32)
    rows.sort_indices()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "CSR support is in beta"
        found = torch.sparse_csr_tensor(
            torch.from_numpy(rows.indptr.astype(np.int64)),
            torch.from_numpy(rows.indices.astype(np.int64)),
            torch.from_numpy(rows.data),
            rows.shape,
            check_invariants=False,
        )
        return found.to(device)


Factor = Tensor | Sparse
"""Features as networks take them: a dense tensor, which may need gradients, or a constant sparse matrix."""


def factor(x: Features | Tensor, device: str = "cpu") -> Factor:
    """Features as a network takes them."""
    if isinstance(x, Tensor):
        return x.to(device)
    return Sparse.of(x, device) if sparse.issparse(x) else torch.from_numpy(np.ascontiguousarray(x)).to(device)


def spread(operator: Sparse | Tensor | None, h: Tensor) -> Tensor:
    """Â h; h itself where Â is the identity (None)."""
    return h if operator is None else operator @ h
