"""What a Gram matrix of sparse rows sums up, in compiled loops: columns counted in bits, and columns walked along.

The product of two rows of zeros and ones is how many columns both have: 64 columns are one `and` and one count of
bits, where a dense product multiplies and adds 64 times. A column that few rows use is cheaper by far when only those
are visited.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import types
from numba.extending import intrinsic
from scipy import sparse

from worker.numerics.compiled import WARM_UPS, by_rows, compiled

BLOCK = 256  # rows; two blocks of them in bits stay in the level-2 cache


def packed(rows: sparse.csr_array) -> np.ndarray:
    """The columns of CSR rows (n, d), in which every stored value is 1, as bits: uint64 (n, ceil(d / 64))."""
    words = np.empty((rows.shape[0], -(-rows.shape[1] // 64)), np.uint64)
    for start in range(0, len(words), BLOCK):
        block = np.zeros((min(BLOCK, len(words) - start), words.shape[1] * 64), bool)
        part = sparse.csr_array(rows[start : start + BLOCK])
        block[np.repeat(np.arange(len(block)), np.diff(part.indptr)), part.indices] = True
        words[start : start + BLOCK] = np.packbits(block, axis=1).view(np.uint64)
    return words


def add_bits(out: np.ndarray, x: np.ndarray, y: np.ndarray, *, symmetric: bool) -> None:
    """Add the number of bits that rows of x (n, w) and of y (m, w) share to `out` (n, m).

    `symmetric`: both are the same rows, and only what is on and above the diagonal of blocks of `BLOCK` is done.
    """
    by_rows(len(x), BLOCK, torch.get_num_threads(), lambda first, last: _add_bits(out, x, y, first, last, symmetric))


def add_products(out: np.ndarray, x: sparse.csr_array, y: sparse.csc_array) -> None:
    """Add the products of sparse rows of x (n, d) and of y (m, d) to `out` (n, m), visiting what both hold alone."""
    arrays = (x.indptr, x.indices, x.data, y.indptr, y.indices, y.data)
    by_rows(x.shape[0], BLOCK, torch.get_num_threads(), lambda first, last: _add_products(out, *arrays, first, last))


@intrinsic
def _ones(typing_context: Any, word: types.Type) -> Any:
    """How many bits of a word are 1."""
    return word(word), lambda context, builder, signature, arguments: builder.ctpop(arguments[0])


@compiled
def _add_bits(out: np.ndarray, x: np.ndarray, y: np.ndarray, first: int, last: int, symmetric: bool) -> None:
    """Rows `first` to `last` of x with those of y, a block of y at a time; with `symmetric`, from the diagonal on."""
    words = x.shape[1]
    for block in range(first if symmetric else 0, len(y), BLOCK):
        for i in range(first, last):
            for j in range(block, min(block + BLOCK, len(y))):
                common = np.uint64(0)
                for word in range(words):
                    common += _ones(x[i, word] & y[j, word])
                out[i, j] += common


@compiled
def _add_products(
    out: np.ndarray,
    starts: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    users_from: np.ndarray,
    users: np.ndarray,
    theirs: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Rows `first` to `last` of x in CSR with all of y in CSC."""
    for i in range(first, last):
        for at in range(starts[i], starts[i + 1]):
            column = columns[at]
            for other in range(users_from[column], users_from[column + 1]):
                out[i, users[other]] += values[at] * theirs[other]


def warm_up() -> None:
    """Have the loops compiled."""
    for dtype in (np.float32, np.float64):
        out = np.zeros((1, 1), dtype)
        add_bits(out, np.zeros((1, 1), np.uint64), np.zeros((1, 1), np.uint64), symmetric=True)
        add_products(out, sparse.csr_array(out), sparse.csc_array(out))


WARM_UPS.append(warm_up)
