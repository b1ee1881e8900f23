"""∞-AE: an infinitely wide auto-encoder of user rows, trained by one linear solve (arXiv:2206.02626).

Kernel ridge regression from rows to themselves with the NTK of a fully connected ReLU network: alpha =
(K(X, X) + lambda tr/n I)^-1 X, scores(q) = K(q, X) alpha. The official code solves anew for every batch of
users; alpha does not depend on them, so it is computed once. Beyond `max_users` rows it learns from a
random subset (as the paper does on Netflix), or with `nystrom` from all rows through a random set of
landmarks L: (C^T C + lambda tr/n W) beta = C^T X, C = K(X, L), W = K(L, L), scores(q) = K(q, L) beta.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from worker.numerics.gram import gram, sparse_times_dense, squared_norms
from worker.numerics.ntk import full_precision, ntk_diagonal, ntk_from_gram
from worker.numerics.ridge import factorise, precision

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
        return self.prepare(rows).fit(self.lam)

    def prepare(self, rows: sparse.csr_array) -> OnRows | OnLandmarks:
        """What trainings on rows (n, I) share, whatever their lambda: their kernel."""
        rows = sparse.csr_array(rows[np.flatnonzero(np.diff(rows.indptr))])
        if not rows.shape[0]:
            raise ValueError("there are no rows to learn from")
        exact = not self.nystrom or rows.shape[0] <= self.max_users
        return OnRows.of(self, rows) if exact else OnLandmarks.of(self, rows)

    def support(self, rows: sparse.csr_array) -> Rows:
        """All rows, or a random `max_users` of them."""
        n = rows.shape[0]
        if n > self.max_users:
            rows = rows[np.sort(np.random.default_rng(self.seed).choice(n, self.max_users, replace=False))]
        return Rows.of(rows, self.device)

    def kernel(self, support: Rows) -> Tensor:
        """K(X, X) (n, n)."""
        product = gram(support.rows, device=self.device, dtype=support.squares.dtype)
        return ntk_from_gram(
            product, support.squares, support.squares,
            dim=support.rows.shape[1], depth=self.depth, symmetric=True, overwrite=True,
        )  # fmt: skip


@dataclass(frozen=True)
class OnRows:
    """Trainings on every row of `support`: `kernel` K(X, X) (n, n)."""

    learner: InfiniteAE
    support: Rows
    kernel: Tensor

    @classmethod
    def of(cls, learner: InfiniteAE, rows: sparse.csr_array) -> OnRows:
        """From rows (n, I), none of them empty."""
        support = learner.support(rows)
        return cls(learner, support, learner.kernel(support))

    def fit(self, lam: float) -> InfiniteAEModel:
        """The model at lambda; raises `NotPositiveDefinite` when that is too small."""
        alpha = factorise(self.kernel, lam).solve(self.support.rows)
        return InfiniteAEModel(replace(self.learner, lam=lam), self.support, alpha)

    def cross(self, inputs: sparse.csr_array, most_bytes: int) -> Tensor | None:
        """K(inputs, X) (q, n) for the `scores` of every model; None when it is larger."""
        return _cross_within(most_bytes, inputs, self.support, self.learner.depth)


@dataclass(frozen=True)
class OnLandmarks:
    """Trainings through landmarks. With W = L L^T and F = C L^-T: (F^T F + lambda tr/n I) gamma = F^T X,
    beta = L^-T gamma: the same equations, better conditioned.

    `lower`: L (m, m); `square`: F^T F (m, m); `mixed`: F^T X (m, I); `scale`: tr/n in units of F^T F's own.
    """

    learner: InfiniteAE
    support: Rows
    lower: Tensor
    square: Tensor
    mixed: Tensor
    scale: float

    @classmethod
    def of(cls, learner: InfiniteAE, rows: sparse.csr_array) -> OnLandmarks:
        """From rows (n, I), none of them empty; F is made in blocks of rows and never kept."""
        support = learner.support(rows)
        lower = factorise(learner.kernel(support), 0.0).lower
        m, width = support.rows.shape
        square, mixed = lower.new_zeros((m, m)), lower.new_zeros((m, width))
        for start in range(0, rows.shape[0], _ROWS):
            block = sparse.csr_array(rows[start : start + _ROWS])
            cross = cross_kernel(block, support, learner.depth).to(lower.dtype)
            with full_precision():
                features = torch.linalg.solve_triangular(lower, cross.T, upper=False)  # F^T, (m, block)
                square.addmm_(features, features.T)
            mixed += sparse_times_dense(sparse.csr_array(block.T), features.T.contiguous()).T
        squares = squared_norms(rows, device=learner.device, dtype=torch.float64)
        trace = float(ntk_diagonal(squares, width, depth=learner.depth).mean())
        return cls(learner, support, lower, square, mixed, trace / float(square.diagonal().double().mean()))

    def fit(self, lam: float) -> InfiniteAEModel:
        """The model at lambda; raises `NotPositiveDefinite` when that is too small."""
        gamma = factorise(self.square, lam * self.scale).solve(self.mixed)
        with full_precision():
            beta = torch.linalg.solve_triangular(self.lower.T, gamma.to(self.lower.dtype), upper=True)
        return InfiniteAEModel(replace(self.learner, lam=lam), self.support, beta)

    def cross(self, inputs: sparse.csr_array, most_bytes: int) -> Tensor | None:
        """K(inputs, L) (q, m) for the `scores` of every model; None when it is larger."""
        return _cross_within(most_bytes, inputs, self.support, self.learner.depth)


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


def _cross_within(most_bytes: int, inputs: sparse.csr_array, support: Rows, depth: int) -> Tensor | None:
    shape = inputs.shape[0], support.rows.shape[0]
    if shape[0] * shape[1] * support.squares.element_size() > most_bytes:
        return None
    out = support.squares.new_empty(shape)
    for start in range(0, shape[0], _ROWS):
        out[start : start + _ROWS] = cross_kernel(sparse.csr_array(inputs[start : start + _ROWS]), support, depth)
    return out


@dataclass(frozen=True)
class InfiniteAEModel:
    """The rows or landmarks and their dual coefficients (n, I)."""

    learner: InfiniteAE
    support: Rows
    alpha: Tensor

    def scores(self, inputs: sparse.csr_array, cross: Tensor | None = None) -> np.ndarray:
        """K(inputs, X) alpha (q, I) float32; a row without events gets the network's prior, much like
        popularity.

        `cross`: K(inputs, X) (q, n) where it is there already.
        """
        out = np.empty((inputs.shape[0], self.alpha.shape[1]), np.float32)
        for start in range(0, inputs.shape[0], _ROWS):
            part = slice(start, start + _ROWS)
            with full_precision():
                kernel = (
                    cross_kernel(sparse.csr_array(inputs[part]), self.support, self.learner.depth)
                    if cross is None
                    else cross[part]
                )
                product = kernel.to(self.alpha.dtype) @ self.alpha  # the solve may have had to go to float64
            out[part] = product.to(torch.float32).cpu().numpy()
        return out
