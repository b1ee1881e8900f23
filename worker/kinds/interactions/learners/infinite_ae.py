"""∞-AE: an infinitely wide auto-encoder of user rows, trained by one linear solve (arXiv:2206.02626).

Kernel ridge regression from rows to themselves with the NTK of a fully connected ReLU network: alpha =
(K(X, X) + lambda tr/n I)^-1 X, scores(q) = K(q, X) alpha. The official code solves anew for every batch of
users; alpha does not depend on them, so it is computed once. Beyond `max_users` rows it learns from a
random subset (as the paper does on Netflix), or with `nystrom` from all rows through a random set of
landmarks L: (C^T C + lambda tr/n W) beta = C^T X, C = K(X, L), W = K(L, L), scores(q) = K(q, L) beta.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from worker.numerics.gram import gram, sparse_times_dense, squared_norms
from worker.numerics.ntk import full_precision, ntk_diagonal, ntk_from_gram
from worker.numerics.ridge import RidgePath, factorise, precision

MAX_USERS = 25_000
_ROWS = 4096


@dataclass(frozen=True)
class InfiniteAE:
    """∞-AE with scale-free ridge `lam` (1 to 20 for full data, less for summaries) and `depth` hidden layers.

    `max_users`: rows learnt from, or with `nystrom` the number of landmarks; drawn with `seed`. Time n^3/3
    + n^2 I and memory n^2 + n I for n rows over I items; with m landmarks n m^2 + n m I and m^2 + m I.
    """

    lam: float = 5.0
    depth: int = 1
    max_users: int = MAX_USERS
    nystrom: bool = False
    seed: int = 0
    device: str = "cpu"
    name: ClassVar[str] = "infinite-ae"

    def fit(self, rows: sparse.csr_array) -> InfiniteAEModel:
        """Fit to rows (n, I), empty ones left out; raises `NotPositiveDefinite` when lambda is too small."""
        return next(self.path(rows, [self.lam], strict=True))

    def path(self, rows: sparse.csr_array, grid: Sequence[float], *, strict: bool = False) -> Iterator[InfiniteAEModel]:
        """One model per lambda of the grid, from one kernel; a lambda that is too small for the data is
        left out.

        `strict`: raise `NotPositiveDefinite` for such a lambda instead.
        """
        rows = sparse.csr_array(rows[np.flatnonzero(np.diff(rows.indptr))])
        if not rows.shape[0]:
            raise ValueError("there are no rows to learn from")
        if self.nystrom and rows.shape[0] > self.max_users:
            yield from self._landmark_path(rows, grid)
            return
        support = Rows.of(rows[self._subset(rows.shape[0])], self.device)
        path = RidgePath(self._kernel(support), support.rows)
        for solution in path.solutions(grid, strict=strict):
            yield InfiniteAEModel(replace(self, lam=solution.lam), support, solution.alpha, solution.seconds)

    def _subset(self, n: int) -> np.ndarray:
        if n <= self.max_users:
            return np.arange(n)
        return np.sort(np.random.default_rng(self.seed).choice(n, self.max_users, replace=False))

    def _kernel(self, support: Rows) -> Tensor:
        """K(X, X) (n, n)."""
        product = gram(support.rows, device=self.device, dtype=support.squares.dtype)
        return ntk_from_gram(
            product, support.squares, support.squares,
            dim=support.rows.shape[1], depth=self.depth, symmetric=True, overwrite=True,
        )  # fmt: skip

    def _landmark_path(self, rows: sparse.csr_array, grid: Sequence[float]) -> Iterator[InfiniteAEModel]:
        """With W = L L^T and F = C L^-T: (F^T F + lambda tr/n I) gamma = F^T X, beta = L^-T gamma.

        The same equations, better conditioned; F is made in blocks of rows and never kept.
        """
        support = Rows.of(rows[self._subset(rows.shape[0])], self.device)
        lower = factorise(self._kernel(support), 0.0).lower
        m, width = support.rows.shape
        square, mixed = lower.new_zeros((m, m)), lower.new_zeros((m, width))
        for start in range(0, rows.shape[0], _ROWS):
            block = sparse.csr_array(rows[start : start + _ROWS])
            cross = cross_kernel(block, support, self.depth).to(lower.dtype)
            with full_precision():
                features = torch.linalg.solve_triangular(lower, cross.T, upper=False)  # F^T, (m, block)
                square.addmm_(features, features.T)
            mixed += sparse_times_dense(sparse.csr_array(block.T), features.T.contiguous()).T
        squares = squared_norms(rows, device=self.device, dtype=torch.float64)
        trace = float(ntk_diagonal(squares, width, depth=self.depth).mean())
        scale = trace / float(square.diagonal().double().mean())  # the path's own scale is that of F^T F
        for lam in grid:
            solution = next(RidgePath(square, mixed, method="cholesky").solutions([lam * scale], strict=True))
            with full_precision():
                beta = torch.linalg.solve_triangular(lower.T, solution.alpha.to(lower.dtype), upper=True)
            yield InfiniteAEModel(replace(self, lam=lam), support, beta, solution.seconds)


@dataclass(frozen=True)
class Rows:
    """Rows (n, I) that a model learnt from, and their squared norms (n,) in the model's dtype."""

    rows: sparse.csr_array
    squares: Tensor

    @classmethod
    def of(cls, rows: sparse.csr_array, device: str) -> Rows:
        """The rows with their norms: float64 for few rows, float32 for many."""
        rows = sparse.csr_array(rows)
        return cls(rows, squared_norms(rows, device=device, dtype=precision(rows.shape[0])))


def cross_kernel(inputs: sparse.csr_array, support: Rows, depth: int) -> Tensor:
    """K(inputs, support) (q, n)."""
    device, dtype = support.squares.device, support.squares.dtype
    squares = squared_norms(inputs, device=device, dtype=dtype)
    product = gram(inputs, support.rows, device=device, dtype=dtype)
    return ntk_from_gram(product, squares, support.squares, dim=inputs.shape[1], depth=depth, overwrite=True)


@dataclass(frozen=True)
class InfiniteAEModel:
    """The rows or landmarks and their dual coefficients (n, I); `solve_s`: seconds after the kernel was
    there."""

    learner: InfiniteAE
    support: Rows
    alpha: Tensor
    solve_s: float

    def scores(self, inputs: sparse.csr_array) -> np.ndarray:
        """K(inputs, X) alpha (q, I) float32; a row without events gets the network's prior, much like
        popularity."""
        out = np.empty((inputs.shape[0], self.alpha.shape[1]), np.float32)
        for start in range(0, inputs.shape[0], _ROWS):
            block = sparse.csr_array(inputs[start : start + _ROWS])
            with full_precision():
                kernel = cross_kernel(block, self.support, self.learner.depth)
                product = kernel.to(self.alpha.dtype) @ self.alpha  # the solve may have had to go to float64
            out[start : start + _ROWS] = product.to(torch.float32).cpu().numpy()
        return out
