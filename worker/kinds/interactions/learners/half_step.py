"""One side of a factorised table solved for, the other one held: a ridge system for each row, many at a time.

For row u with values x_ui on its items, and the factors Q of all items with Gram matrix G = Q^T Q:

    (a G + sum_i x_ui q_i q_i^T + reg n_u I) p_u = sum_i x_ui q_i,    n_u = sum_i x_ui + a m

Rows of like length are solved together, padded with value 0: one batched product and one batched Cholesky a block.
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

_CELLS = 1 << 16  # padded events of a block


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
        while len(order):
            # The longest come first: their length decides how many fit.
            longest = int(lengths[order[-1]])
            taken, order = np.split(order[::-1], [max(1, _CELLS // longest)])
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
    Raises `JobError` `diverged` where a system is singular.
    """
    factors = other.shape[1]
    out = other.new_zeros((side.count, factors))
    eye = torch.eye(factors, dtype=other.dtype, device=other.device)
    with full_precision():
        for block in side.blocks:
            if ctx.cancelled:
                ctx.progress(0, 1)
            near = other[block.columns]
            weighted = near * block.values[:, :, None]
            ridge = reg * (block.values.sum(dim=1) + unobserved * others)
            left = torch.bmm(weighted.transpose(1, 2), near).add_(unobserved * gram).add_(ridge[:, None, None] * eye)
            lower, info = torch.linalg.cholesky_ex(left)
            if bool(info.any()):
                raise JobError("diverged", "A system of equations of the factors is singular.")
            out[block.rows] = torch.cholesky_solve(weighted.sum(dim=1)[:, :, None], lower)[:, :, 0]
    return out
