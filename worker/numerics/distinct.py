"""Distinct rows of a matrix, found by hashing: policies and contexts repeat, and each is stored and computed once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 22  # numbers of a temporary array


def distinct_rows(matrix: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """First of each distinct row (U,) of a matrix (n, d), in order of appearance, and the distinct row of each (n,)."""
    n, width = matrix.shape
    factors = np.random.default_rng(0).integers(1, 2**63, width, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    kind = np.uint32 if matrix.dtype.itemsize == 4 else np.uint64
    key = np.zeros(n, np.uint64)
    step = max(1, _BLOCK // max(1, width))
    for start in range(0, n, step):
        bits = np.ascontiguousarray(matrix[start : start + step] + matrix.dtype.type(0)).view(kind).astype(np.uint64)
        bits ^= bits >> np.uint64(31)
        key[start : start + step] = (bits * factors).sum(axis=1, dtype=np.uint64)
    first, index = first_of_each(key ^ (key >> np.uint64(32)))
    for start in range(0, n, step):
        part = slice(start, start + step)
        if not np.array_equal(matrix[part], matrix[first[index[part]]], equal_nan=True):
            return np.arange(n), np.arange(n, dtype=np.int32)  # a hash that collides: every row stays by itself
    return first, index


def first_of_each(key: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The same for keys (n,)."""
    _, first, index = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return first[order], rank[index]
