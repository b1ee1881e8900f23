"""Logistic regression with an L2 penalty, compiled: one coordinate of the dual at a time (Yu, Huang and Lin 2011).

    min_w 1/2 |w|^2 + sum_i C_i log(1 + exp(-y_i w x_i))

At the optimum the dual variable of row i is C_i sigma(t_i) with t_i = -y_i w x_i. Written in t, the equation of one
coordinate, t + y w x + |x|^2 (C sigma(t) - alpha) = 0, has a slope between 1 and 1 + C |x|^2 / 4, so Newton's method,
kept inside a bracket, solves it in a few steps and no variable ever meets its bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from worker.numerics.compiled import WARM_UPS, compiled

_EPOCHS, _TOLERANCE = 30, 1e-2


def logistic(rows: sparse.csr_matrix, positive: np.ndarray, cost: np.ndarray, order: np.ndarray) -> np.ndarray:
    """w float64 (v,) of rows (n, v), bool (n,) and C float64 (n,). `order`: int64 (n,), in which rows are visited."""
    indptr, indices, data = rows.indptr.astype(np.int64), rows.indices.astype(np.int32), rows.data.astype(np.float32)
    return _solve(indptr, indices, data, rows.shape[1], positive, cost, order, _EPOCHS, _TOLERANCE)


@compiled
def _solve(
    indptr: Any,
    indices: Any,
    data: Any,
    width: int,
    positive: Any,
    cost: Any,
    order: Any,
    epochs: int,
    tolerance: float,
) -> Any:
    n = len(indptr) - 1
    w = np.zeros(width)
    square, alpha = np.zeros(n), np.empty(n)
    for row in range(n):  # all start at sigma = 1e-3, near the optimum of rows that are easy
        alpha[row] = 1e-3 * cost[row]
        sign = 1.0 if positive[row] else -1.0
        for at in range(indptr[row], indptr[row + 1]):
            square[row] += data[at] * data[at]
            w[indices[at]] += sign * alpha[row] * data[at]
    for _ in range(epochs):
        largest = 0.0
        for row in order:
            if cost[row] <= 0:
                continue
            sign = 1.0 if positive[row] else -1.0
            margin = 0.0
            for at in range(indptr[row], indptr[row + 1]):
                margin += w[indices[at]] * data[at]
            margin *= sign
            c, a, before = cost[row], square[row], alpha[row]
            low, high = -margin - a * (c - before), -margin + a * before  # where C sigma is C, and where it is 0
            t = min(max(-margin, low), high)
            sigma = 1 / (1 + np.exp(-t))
            for _ in range(20):
                value = t + margin + a * (c * sigma - before)
                if value > 0:
                    high = t
                else:
                    low = t
                if abs(value) < 1e-6:
                    break
                t -= value / (1 + a * c * sigma * (1 - sigma))
                if t < low or t > high:
                    t = 0.5 * (low + high)
                sigma = 1 / (1 + np.exp(-t))
            change = c * sigma - before
            largest = max(largest, abs(change) / c)
            alpha[row] = c * sigma
            for at in range(indptr[row], indptr[row + 1]):
                w[indices[at]] += sign * change * data[at]
        if largest < tolerance:
            break
    return w


def _warm_up() -> None:
    logistic(sparse.csr_matrix(np.eye(2, dtype=np.float32)), np.array([True, False]), np.ones(2), np.arange(2))


WARM_UPS.append(_warm_up)
