"""Permutation test of no relation between two stages: how often a shuffled second stage correlates as strongly.

Exact over all M! orders up to 8 runs; else of random orders, of which the observed one is always counted, so that the
p-value is never 0 and holds its level (Phipson and Smyth, "Permutation p-values should never be zero", 2010).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache

import numpy as np

EXACT = 8
_SLACK = 1e-9  # sums of the same products in another order differ by rounding
_AT_ONCE = 2_000_000


def p_value(
    x: np.ndarray, y: np.ndarray, permutations: int, seed: int, tick: Callable[[], None] = lambda: None
) -> float:
    """Two-sided p-value (0, 1] of |Pearson's r| between x and y (M,); NaN when one of them is constant.

    `tick` is called between blocks of random orders.
    """
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    x, y = (x - x.mean()) / np.ptp(x), (y - y.mean()) / np.ptp(y)
    bar = abs(float(x @ y)) * (1 - _SLACK)
    if len(x) <= EXACT:
        orders = _orders(len(x))
        return float(np.mean(np.abs(y[orders] @ x) >= bar))
    rng = np.random.default_rng(seed)
    extreme, left = 0, permutations
    while left:
        tick()
        count = min(left, max(1, _AT_ONCE // len(y)))
        shuffled = rng.permuted(np.broadcast_to(y, (count, len(y))), axis=1)
        extreme += int(np.count_nonzero(np.abs(shuffled @ x) >= bar))
        left -= count
    return (1 + extreme) / (1 + permutations)


@cache
def _orders(runs: int) -> np.ndarray:
    """All orders (runs!, runs)."""
    return np.array(list(itertools.permutations(range(runs))), dtype=np.int8)
