"""One side of a factorised table solved for, the other one held: a ridge system for each row, many at a time.

For row u with values x_ui on its items, and the factors Q of all items with Gram matrix G = Q^T Q:

    (a G + sum_i x_ui q_i q_i^T + reg n_u I) p_u = sum_i x_ui q_i,    n_u = sum_i x_ui + a m

Rows of like length are solved together, padded with value 0: one batched product and one batched Cholesky a block. A
row of fewer events than factors is solved for through its events: with G = U S U^T, M_u = a S + reg n_u I, which is
diagonal, and B = diag(x)^1/2 Q U the rotated factors of its items,

    U^T p_u = M_u^-1 B^T (I + B M_u^-1 B^T)^-1 x^1/2

so that a system has the size of the row, not of the factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.numerics.ntk import full_precision

_CELLS = {"cpu": 1 << 13}  # padded events of a block: what it is made of should stay in a processor's cache
_CELLS_ELSEWHERE = 1 << 19


@dataclass(frozen=True)
class Block:
    """Rows (b,) with their columns (b, length) and values (b, length), 0 where a row is shorter."""

    rows: Tensor
    columns: Tensor
    values: Tensor


@dataclass(frozen=True)
class HalfStep:
    """All filled rows of a table of `count` rows, in blocks."""

    blocks: tuple[Block, ...]
    count: int

    @classmethod
    def of(cls, table: sparse.csr_array, device: str | torch.device = "cpu") -> HalfStep:
        """The blocks of a CSR table (n, m)."""
        lengths = np.diff(table.indptr)
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]
        found: list[Block] = []
        cells = _CELLS.get(torch.device(device).type, _CELLS_ELSEWHERE)
        while len(order):
            # The longest come first: their length decides how many fit.
            longest = int(lengths[order[-1]])
            taken, order = np.split(order[::-1], [max(1, cells // longest)])
            order = order[::-1]
            found.append(_block(table, taken, longest, device))
        return cls(tuple(found), table.shape[0])


def _block(table: sparse.csr_array, rows: np.ndarray, longest: int, device: str | torch.device) -> Block:
    starts, lengths = table.indptr[rows], np.diff(table.indptr)[rows]
    steps = np.arange(longest)
    there = steps < lengths[:, None]
    place = np.minimum(starts[:, None] + steps, len(table.indices) - 1)
    columns = np.where(there, table.indices[place], 0).astype(np.int64)
    values = np.where(there, table.data[place], 0).astype(np.float32)
    return Block(*(torch.from_numpy(part).to(device) for part in (rows.astype(np.int64), columns, values)))


def solve(
    side: HalfStep, other: Tensor, gram: Tensor, unobserved: float, reg: float, others: float, ctx: Context
) -> Tensor:
    """Factors (n, k) of all rows of a side; 0 for empty ones.

    `other`: factors (m, k); `gram`: their Gram matrix G (k, k), weighted where they weigh; `others`: m, weighted alike.
    Raises `JobError` `diverged` where a system is singular or the factors are not finite.
    """
    factors = other.shape[1]
    out = other.new_zeros((side.count, factors))
    if not bool(torch.isfinite(gram).all()):
        raise JobError("diverged", "The factors are no longer finite.")
    with full_precision():
        values, vectors = torch.linalg.eigh(gram.double())
        curvature = unobserved * values.clamp(min=0).to(other)
        rotate = vectors.to(other)
        rotated = other @ rotate
        for block in side.blocks:
            if ctx.cancelled:
                ctx.progress(0, 1)
            ridge = reg * (block.values.sum(dim=1) + unobserved * others)
            if block.columns.shape[1] < factors:
                out[block.rows] = _through_events(block, rotated, curvature + ridge[:, None]) @ rotate.T
                continue
            near = other[block.columns]
            weighted = near * block.values[:, :, None]
            left = torch.bmm(weighted.transpose(1, 2), near)
            left += unobserved * gram
            left.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
            out[block.rows] = _solved(left, weighted.sum(dim=1))
    return out


def _through_events(block: Block, rotated: Tensor, diagonal: Tensor) -> Tensor:
    """U^T p (b, k) for rows of few events, with M (b, k)."""
    root = block.values.sqrt()
    near = rotated[block.columns] * root[:, :, None]
    scaled = near / diagonal[:, None, :]
    left = torch.bmm(scaled, near.transpose(1, 2))
    left.diagonal(dim1=1, dim2=2).add_(1)
    return (scaled * _solved(left, root)[:, :, None]).sum(dim=1)


def _solved(left: Tensor, right: Tensor) -> Tensor:
    """The solutions (b, n) of symmetric systems (b, n, n)."""
    lower, info = torch.linalg.cholesky_ex(left)
    if bool(info.any()):
        raise JobError("diverged", "A system of equations of the factors is singular.")
    return torch.cholesky_solve(right[:, :, None], lower)[:, :, 0]
