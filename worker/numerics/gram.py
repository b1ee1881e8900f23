"""Gram matrix of sparse rows: popular columns by dense products, of 0/1 rows in bits, the long tail by sparse ones."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from worker.numerics.gram_loops import BLOCK, add_bits, add_products, packed
from worker.numerics.ntk import full_precision

_SPARSE_COST = {"cpu": 100, "cuda": 10_000}  # dense multiply-adds done in the time of one sparse one; rough
_SPARSE_COST_IN_BITS = 300
_SPARSE_BELOW = 0.02  # density under which a sparse product with a dense matrix wins; a guess
_COLUMNS = 1024
_ROWS = 1024


def gram(
    x: sparse.csr_array,
    y: sparse.csr_array | None = None,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """X Y^T (n, m) as a dense tensor from CSR rows of equal width; X X^T when `y` is None.

    A column that n_x rows of X and n_y rows of Y use costs n_x n_y sparse operations or n m dense ones;
    each column goes the cheaper way. At most 1,024 columns or rows are dense at a time. On the CPU the dense columns
    of 0/1 rows are counted in bits, which is exact.
    """
    device = torch.device(device)
    other = x if y is None else y
    if x.shape[1] != other.shape[1]:
        raise ValueError(f"rows of {x.shape[1]} and of {other.shape[1]} columns have no Gram matrix")
    used = _column_counts(x) * (_column_counts(other) if y is not None else _column_counts(x))
    in_bits = device.type == "cpu" and _of_zeros_and_ones(x) and _of_zeros_and_ones(other)
    cost = _SPARSE_COST_IN_BITS if in_bits else _SPARSE_COST.get(device.type, 10_000)
    dense = used * cost > x.shape[0] * other.shape[0]
    out = torch.zeros((x.shape[0], other.shape[0]), dtype=dtype, device=device)
    (_add_bits if in_bits else _add_dense)(out, x, y, np.flatnonzero(dense))
    _add_sparse(out, x, other, np.flatnonzero(~dense & (used > 0)))
    return out


def squared_norms(
    x: sparse.csr_array, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Tensor:
    """Squared norms (n,) of CSR rows."""
    sums = np.asarray(x.multiply(x).sum(axis=1), dtype=np.float64).ravel()
    return torch.as_tensor(sums, dtype=dtype, device=device)


def densify(x: sparse.sparray, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """A sparse block (n, m) as a dense tensor; the caller sees to its size."""
    return torch.from_numpy(x.toarray()).to(device=device, dtype=dtype)


def _column_counts(x: sparse.csr_array) -> np.ndarray:
    return np.bincount(x.indices, minlength=x.shape[1]).astype(np.int64)


def _of_zeros_and_ones(rows: sparse.csr_array) -> bool:
    return bool(rows.has_canonical_format) and bool((rows.data == 1).all())


def _add_bits(out: Tensor, x: sparse.csr_array, y: sparse.csr_array | None, columns: np.ndarray) -> None:
    left = packed(sparse.csr_array(x[:, columns]))
    right = left if y is None else packed(sparse.csr_array(y[:, columns]))
    add_bits(out.numpy(), left, right, symmetric=y is None)
    if y is None:
        _mirror(out, BLOCK)


def _add_dense(out: Tensor, x: sparse.csr_array, y: sparse.csr_array | None, columns: np.ndarray) -> None:
    if not len(columns):
        return
    x_head = sparse.csc_array(x)[:, columns]
    y_head = None if y is None else sparse.csc_array(y)[:, columns]
    with full_precision():
        for start in range(0, len(columns), _COLUMNS):
            part = slice(start, start + _COLUMNS)
            left = densify(x_head[:, part], device=out.device, dtype=out.dtype)
            if y_head is None:
                _add_square(out, left)
            else:
                out.addmm_(left, densify(y_head[:, part], device=out.device, dtype=out.dtype).T)
    if y_head is None:
        _mirror(out, _ROWS)


def _add_square(out: Tensor, x: Tensor) -> None:
    """Add X X^T on and above the diagonal of blocks: half of the work."""
    for start in range(0, len(x), _ROWS):
        out[start : start + _ROWS, start:].addmm_(x[start : start + _ROWS], x[start:].T)


def _mirror(out: Tensor, size: int) -> None:
    """Copy what is above the diagonal of blocks of that size below it."""
    for start in range(0, len(out), size):
        stop = start + size
        out[stop:, start:stop] = out[start:stop, stop:].T


def _add_sparse(out: Tensor, x: sparse.csr_array, y: sparse.csr_array, columns: np.ndarray) -> None:
    if not len(columns):
        return
    precise = np.float64 if out.dtype == torch.float64 else np.float32
    x_tail = sparse.csr_array(x[:, columns], dtype=precise)
    y_tail = sparse.csc_array(y[:, columns], dtype=precise)
    if out.device.type == "cpu":
        add_products(out.numpy(), x_tail, y_tail)
        return
    for start in range(0, x.shape[0], _ROWS):
        block = np.zeros((min(_ROWS, x.shape[0] - start), y.shape[0]), precise)
        add_products(block, sparse.csr_array(x_tail[start : start + _ROWS]), y_tail)
        out[start : start + _ROWS] += torch.from_numpy(block).to(out.device)


def sparse_times_dense(x: sparse.csr_array, weights: Tensor) -> Tensor:
    """X W (n, r) for CSR rows (n, d) and dense weights (d, r), by whichever product is faster at X's
    density."""
    cells = max(1, x.shape[0] * x.shape[1])
    if weights.device.type == "cpu" and x.nnz / cells < _SPARSE_BELOW:
        return torch.from_numpy(np.asarray(x.astype(weights.numpy().dtype) @ weights.numpy()))
    out = torch.empty((x.shape[0], weights.shape[1]), dtype=weights.dtype, device=weights.device)
    with full_precision():
        for start in range(0, x.shape[0], _ROWS):
            part = slice(start, start + _ROWS)
            out[part] = densify(x[part], device=weights.device, dtype=weights.dtype) @ weights
    return out
