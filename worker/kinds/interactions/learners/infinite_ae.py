"""∞-AE: an infinitely wide auto-encoder of user rows, trained by one linear solve (arXiv:2206.02626).

Kernel ridge regression from rows to themselves with the NTK of a fully connected ReLU network: alpha =
(K(X, X) + lambda tr/n I)^-1 X, scores(q) = K(q, X) alpha. The official code solves anew for every batch of
users; alpha does not depend on them, so it is computed once. Equal rows are merged: with counts c and S = diag(c)^1/2
the same scores follow from alpha = S (S K S + lambda tr/n I)^-1 S X over distinct rows, tr/n still over all users.
Weights of rows act as counts do, divided by their mean: lambda then means the same whatever the weights count.

Where the paper learns from a random part of the users (Netflix), ours learns from all of them through landmarks L, rows
drawn at random: (C^T C + lambda tr/n W) beta = C^T X, C = K(X, L), W = K(L, L), scores(q) = K(q, L) beta.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from worker.contract.context import Context
from worker.contract.learner import learner
from worker.kinds.interactions.distinct import distinct
from worker.kinds.interactions.learners.ridge import RidgeTraining, beyond, grid
from worker.kinds.interactions.rows import UserRows
from worker.numerics.gram import gram, sparse_times_dense, squared_norms
from worker.numerics.ntk import full_precision, ntk_diagonal, ntk_from_gram
from worker.numerics.ridge import DOUBLE_UP_TO, NotPositiveDefinite, factorise, precision

LAMBDAS = (1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 50)  # few rows want little, many much
OFFICIAL_GRID = (0.0, 1.0, 5.0, 20.0, 50.0, 100.0)  # the published ∞-AE's, for full data
# Validation nDCG@10 through 1,000, 2,000 and 4,000 landmarks, and exact: on MovieLens-1M 22.99, 23.37, 23.64, 23.67; on
# MSWeb, whose rows are short, 41.42 and 41.43 through the first two, 41.36 exact.
MAX_USERS, LANDMARKS = 7_000, 2_000
_LEAST_SINGLE = 1e-3  # below it a kernel in single precision is singular in all but name
_ROWS = 4096


@dataclass(frozen=True)
class InfiniteAE:
    """∞-AE with scale-free ridge `lam` (1 to 20 for full data, less for summaries) and `depth` hidden layers.

    Up to `max_users` distinct rows it is exact: time n^3/3 + n^2 I and memory n^2 + n I for n distinct rows over I
    items. Beyond them it learns through m = `landmarks` of them, drawn with `seed`: n m^2 + n m I and m^2 + m I.
    """

    lam: float = 5.0
    depth: int = 1
    max_users: int = MAX_USERS
    landmarks: int = LANDMARKS
    seed: int = 0
    device: str = "cpu"

    def fit(self, rows: sparse.csr_array, weights: np.ndarray | None = None) -> InfiniteAEModel:
        """Fit to rows (n, I) with weights (n,), empty ones left out; raises `NotPositiveDefinite` when lambda is too
        small."""
        return self.prepare(UserRows(rows, weights)).fit(self.lam)

    def prepare(self, rows: UserRows) -> OnRows | OnLandmarks:
        """What trainings on rows (n, I) share, whatever their lambda: their kernel."""
        rows = rows.filled()
        if not len(rows):
            raise ValueError("there are no rows to learn from")
        merged, counts = merge_equal(rows)
        return (OnRows if merged.shape[0] <= self.max_users else OnLandmarks).of(self, merged, counts)

    def kernel(self, support: Rows) -> Tensor:
        """K(X, X) (n, n)."""
        product = gram(support.rows, device=self.device, dtype=support.squares.dtype)
        return ntk_from_gram(
            product, support.squares, support.squares,
            dim=support.rows.shape[1], depth=self.depth, symmetric=True, overwrite=True,
        )  # fmt: skip


def merge_equal(rows: UserRows) -> tuple[sparse.csr_array, np.ndarray]:
    """Distinct rows (d, I) in order of first appearance, and the sum (d,) of their weights over the mean weight.

    Fractional rows stay apart.
    """
    mass = rows.mass / rows.mass.mean()
    if not (rows.matrix.data == 1).all():
        return rows.matrix, mass
    first, pattern = distinct(rows.matrix)
    merged = rows.matrix if len(first) == len(rows) else sparse.csr_array(rows.matrix[first])
    return merged, np.bincount(pattern, mass, len(first))


@dataclass(frozen=True)
class OnRows:
    """Trainings on distinct rows, those of `support`.

    `kernel`: S K(X, X) S (n, n) with S = diag(`roots`), the square roots of the rows' counts; `users`: the counts' sum.
    """

    learner: InfiniteAE
    support: Rows
    kernel: Tensor
    roots: Tensor
    users: float

    @classmethod
    def of(cls, learner: InfiniteAE, rows: sparse.csr_array, counts: np.ndarray) -> OnRows:
        """From distinct rows (n, I), none of them empty, with their counts (n,)."""
        support = Rows.of(rows, learner.device)
        kernel = learner.kernel(support)
        roots = torch.from_numpy(np.sqrt(counts)).to(kernel)
        if (counts != 1).any():
            kernel.mul_(roots[:, None]).mul_(roots[None, :])
        return cls(learner, support, kernel, roots, float(counts.sum()))

    def fit(self, lam: float) -> InfiniteAEModel:
        """The model at lambda; raises `NotPositiveDefinite` when that is too small."""
        rows, n = self.support.rows, len(self.kernel)
        if n > DOUBLE_UP_TO and lam < _LEAST_SINGLE:
            raise NotPositiveDefinite(lam, _LEAST_SINGLE)
        factor = factorise(self.kernel, lam * n / self.users)
        if (self.roots == 1).all():
            return InfiniteAEModel(replace(self.learner, lam=lam), self.support, factor.solve(rows))
        alpha = factor.solve(sparse.csr_array(sparse.diags_array(self.roots.cpu().numpy()) @ rows))
        alpha.mul_(self.roots.to(alpha)[:, None])
        return InfiniteAEModel(replace(self.learner, lam=lam), self.support, alpha)

    def cross(self, inputs: sparse.csr_array, most_bytes: int) -> Tensor | None:
        """K(inputs, X) (q, n) for the `scores` of every model; None when it is larger."""
        return _cross_within(most_bytes, inputs, self.support, self.learner.depth)


@dataclass(frozen=True)
class OnLandmarks:
    """Trainings through landmarks. With W = L L^T, F = C L^-T and counts N = diag(c): (F^T N F + lambda tr/n I) gamma =
    F^T N X, beta = L^-T gamma: the same equations, better conditioned.

    `lower`: L (m, m); `square`: F^T N F (m, m); `mixed`: F^T N X (m, I); `scale`: tr/n in units of F^T N F's own.
    """

    learner: InfiniteAE
    support: Rows
    lower: Tensor
    square: Tensor
    mixed: Tensor
    scale: float

    @classmethod
    def of(cls, learner: InfiniteAE, rows: sparse.csr_array, counts: np.ndarray) -> OnLandmarks:
        """From distinct rows (n, I), none of them empty, with their counts (n,); F is made in blocks and never kept."""
        m = min(learner.landmarks, rows.shape[0])
        drawn = np.random.default_rng(learner.seed).choice(rows.shape[0], m, replace=False, p=counts / counts.sum())
        support = Rows.of(sparse.csr_array(rows[np.sort(drawn)]), learner.device)
        lower = factorise(learner.kernel(support), 0.0).lower
        width = rows.shape[1]
        square, mixed = lower.new_zeros((m, m)), lower.new_zeros((m, width))
        for start in range(0, rows.shape[0], _ROWS):
            block = sparse.csr_array(rows[start : start + _ROWS])
            cross = cross_kernel(block, support, learner.depth).to(lower.dtype)
            times = torch.from_numpy(counts[start : start + _ROWS]).to(lower)
            with full_precision():
                features = torch.linalg.solve_triangular(lower, cross.T, upper=False)  # F^T, (m, block)
                weighted = features * times
                square.addmm_(weighted, features.T)
            mixed += sparse_times_dense(sparse.csr_array(block.T), weighted.T.contiguous()).T
        squares = squared_norms(rows, device=learner.device, dtype=torch.float64)
        diagonal = ntk_diagonal(squares, width, depth=learner.depth).cpu().numpy()
        trace = float(diagonal @ counts / counts.sum())
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


@learner(
    kind="interactions",
    name="infinite-ae",
    label="∞-AE",
    settings=grid("lambda", LAMBDAS),
    further=beyond("lambda", LAMBDAS),
)
def infinite_ae(rows: UserRows, params: Any, ctx: Context) -> RidgeTraining:
    """∞-AE on rows (n, I), tuned over lambda."""
    model = InfiniteAE(max_users=params.max_users, landmarks=params.landmarks, seed=ctx.seed, device=ctx.device)
    return RidgeTraining(model.prepare(rows), "lambda")
