"""Herding and k-center: orders of the rows of a class, whose prefixes are selections of every size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def herd(rows: np.ndarray, n: int, tick: Callable[[], None] = lambda: None) -> np.ndarray:
    """Numbers of n rows (m, d), each the one whose addition brings the sum nearest to t times the mean (Welling 2009).

    i_t = argmin over the remaining of |t mu - sum_{s<t} e_s - e_i|; ties to the lowest number. O(n m d) time.
    """
    rows = rows.astype(np.float64)
    mean, squared = rows.mean(axis=0), np.einsum("ij,ij->i", rows, rows)
    taken, total = np.zeros(len(rows), bool), np.zeros(rows.shape[1])
    chosen = np.empty(n, np.int64)
    for t in range(n):
        if t % 16 == 0:
            tick()
        missing = (t + 1) * mean - total
        distance = squared - 2 * (rows @ missing)
        distance[taken] = np.inf
        chosen[t] = int(distance.argmin())
        taken[chosen[t]] = True
        total += rows[chosen[t]]
    return chosen


def k_center(rows: np.ndarray, n: int, tick: Callable[[], None] = lambda: None) -> np.ndarray:
    """Numbers of n rows (m, d): the one nearest to the mean, then always the one furthest from those chosen.

    The largest distance of a row to its centre is at most twice the least possible with a first centre of that choice
    (Gonzalez 1985). The running least distance is kept: O(n m d) time.
    """
    rows = rows.astype(np.float64)
    squared = np.einsum("ij,ij->i", rows, rows)
    mean = rows.mean(axis=0)
    first = int((squared - 2 * (rows @ mean)).argmin())
    chosen = np.empty(n, np.int64)
    distance = np.full(len(rows), np.inf)
    at = first
    for t in range(n):
        if t % 16 == 0:
            tick()
        chosen[t] = at
        np.minimum(distance, np.maximum(squared - 2 * (rows @ rows[at]) + squared[at], 0), out=distance)
        distance[at] = -1.0
        at = int(distance.argmax())
    return chosen
