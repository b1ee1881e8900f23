"""EASE: a linear item-to-item model with zero diagonal, in closed form (Steck 2019, arXiv:1905.03375).

With A = X^T X + r I and P = A^-1 the weights are B = I - P diag(1/P_jj), and scores are Q B. Only Q P and
the diagonal of P are needed, so with fewer rows than items we work on the side of the rows: P = (I - H) / r
with H = X^T M^-1 X and M = X X^T + r I, hence scores_j = ((Q H)_j - h_j Q_j) / (1 - h_j), h the diagonal of
H. That takes n^3/3 + n^2 I operations and n I numbers instead of I^3 and I^2, and gives the same scores. A row that
stands for w users enters as w^1/2 x, which makes A = X^T W X + r I.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from worker.contract.context import Context
from worker.contract.learner import learner
from worker.kinds.interactions.learners.ridge import RidgeTraining, beyond, grid
from worker.kinds.interactions.rows import ItemGram, UserRows
from worker.numerics.gram import densify, gram, sparse_times_dense
from worker.numerics.ntk import full_precision
from worker.numerics.ridge import factorise, precision

RIDGES = (0.01, 0.1, 0.5, 1, 5, 20, 50, 100, 200, 500, 1000, 2000)  # few rows want little, many much
_COLUMNS = 4096


@dataclass(frozen=True)
class Ease:
    """EASE with ridge `ridge` > 0 (added to the Gram matrix as it is, not scale free); takes fractional
    rows."""

    ridge: float = 500.0
    device: str = "cpu"

    def fit(self, rows: sparse.csr_array, weights: np.ndarray | None = None) -> EaseModel | EaseOnRows:
        """Fit to rows (n, I) with weights (n,), by items or by rows, whichever are fewer."""
        return EaseGram.of(UserRows(rows, weights).scaled(), self.device).fit(self.ridge)


@dataclass(frozen=True)
class EaseGram:
    """What trainings at different ridges share: of rows (n, I), X X^T (n, n) with `by_rows`, else X^T X
    (I, I)."""

    rows: sparse.csr_array
    gram: Tensor
    by_rows: bool

    @classmethod
    def of(cls, rows: sparse.csr_array, device: str = "cpu", *, by_rows: bool | None = None) -> EaseGram:
        """The smaller Gram matrix of the rows (or the one asked for), empty rows left out."""
        rows = sparse.csr_array(rows[np.flatnonzero(np.diff(rows.indptr))])
        by_rows = rows.shape[0] < rows.shape[1] if by_rows is None else by_rows
        side = rows if by_rows else sparse.csr_array(rows.T)
        return cls(rows, gram(side, device=device, dtype=precision(side.shape[0])), by_rows)

    def fit(self, ridge: float) -> EaseModel | EaseOnRows:
        """The model at a ridge > 0."""
        if ridge <= 0:
            raise ValueError("the ridge of EASE must be positive")
        lower = _cholesky(self.gram, ridge)
        if self.by_rows:
            return _fit_rows(self, lower)
        inverse = torch.cholesky_inverse(lower)
        weights = inverse.div_(-inverse.diagonal().clone()[None, :])
        weights.diagonal().zero_()
        return EaseModel(weights.to(torch.float32))

    def cross(self, inputs: sparse.csr_array, most_bytes: int) -> Tensor | None:
        """Q X^T (q, n) for the `scores` of every model; None by items, which need none, or when it is larger."""
        if not self.by_rows or inputs.shape[0] * self.rows.shape[0] * self.gram.element_size() > most_bytes:
            return None
        return gram(inputs, self.rows, device=self.gram.device, dtype=self.gram.dtype)


def _cholesky(matrix: Tensor, ridge: float) -> Tensor:
    """Cholesky factor of the Gram matrix plus `ridge` I."""
    scale = float(matrix.diagonal().double().mean()) if len(matrix) else 0.0
    if scale == 0:
        return torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device) * ridge**0.5
    return factorise(matrix, ridge / scale).lower


def _fit_rows(data: EaseGram, lower: Tensor) -> EaseOnRows:
    columns = sparse.csc_array(data.rows)
    solved = lower.new_empty(data.rows.shape)
    leverage = lower.new_empty(data.rows.shape[1])
    for start in range(0, data.rows.shape[1], _COLUMNS):
        part = slice(start, start + _COLUMNS)
        block = torch.from_numpy(columns[:, part].toarray()).to(lower)
        with full_precision():
            solved[:, part] = torch.cholesky_solve(block, lower)
        leverage[part] = (block * solved[:, part]).sum(0)
    return EaseOnRows(data.rows, solved, leverage)


@dataclass(frozen=True)
class EaseModel:
    """Item-to-item weights B (I, I) float32 with zero diagonal."""

    weights: Tensor

    def scores(self, inputs: sparse.csr_array) -> np.ndarray:
        """Q B (q, I) float32 for rows of inputs (q, I)."""
        return sparse_times_dense(inputs, self.weights).cpu().numpy()


@dataclass(frozen=True)
class EaseOnRows:
    """The same model without its (I, I) weights: rows X (n, I), M^-1 X (n, I) and the diagonal h (I,) of
    H."""

    rows: sparse.csr_array
    solved: Tensor
    leverage: Tensor

    def scores(self, inputs: sparse.csr_array, cross: Tensor | None = None) -> np.ndarray:
        """Q B (q, I) float32 for rows of inputs (q, I); `cross`: Q X^T (q, n) where it is there already."""
        if cross is None:
            cross = gram(inputs, self.rows, device=self.solved.device, dtype=self.solved.dtype)
        with full_precision():
            out = cross.to(self.solved.dtype) @ self.solved  # the solve may have had to go to float64
        owner = np.repeat(np.arange(inputs.shape[0]), np.diff(inputs.indptr))
        place = torch.from_numpy(owner * inputs.shape[1] + inputs.indices).to(out.device)
        own = torch.from_numpy(inputs.data).to(out) * self.leverage[place % inputs.shape[1]]
        out.view(-1).index_add_(0, place, own, alpha=-1)
        return out.div_(1 - self.leverage).to(torch.float32).cpu().numpy()


@learner(
    kind="interactions", name="ease", label="EASE", settings=grid("ridge", RIDGES), further=beyond("ridge", RIDGES)
)
def ease(rows: UserRows | ItemGram, params: Any, ctx: Context) -> RidgeTraining:
    """EASE on rows (n, I) or on a Gram matrix (I, I), tuned over its ridge."""
    if isinstance(rows, ItemGram):
        items = rows.matrix.shape[0]
        matrix = densify(rows.matrix, device=ctx.device, dtype=precision(items))
        return RidgeTraining(EaseGram(sparse.csr_array((0, items), dtype=np.float32), matrix, by_rows=False), "ridge")
    return RidgeTraining(EaseGram.of(rows.scaled(), ctx.device), "ridge")
