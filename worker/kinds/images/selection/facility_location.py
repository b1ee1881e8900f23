"""Facility location: points that are near to all others, by greedy choice.

F(S) = sum_i max_{j in S} (c - |g_i - g_j|), c the largest distance, is monotone and submodular, so that greedy choice
reaches at least 1 - 1/e of the best value (Nemhauser, Wolsey and Fisher 1978); CRAIG (arXiv:1906.01827) has g the
gradients of the last layer. Lazy greedy (Minoux 1978) chooses the same points: gains only fall, so a point whose gain,
looked at anew, is still the largest need not be compared with the others.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np

_CHUNK = 4096


def facility_location(
    g: np.ndarray, count: int, tick: Callable[[], None] = lambda: None
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows (count,) of g float32 (n, D) in the order chosen, and how many rows are nearest to each (count,).

    O(n^2 D) for the first gains, then O(n D) each time a gain is looked at anew; memory O(n) and a chunk.
    """
    square = np.einsum("nd,nd->n", g, g)

    def distances(rows: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(square[rows, None] + square - 2 * (g[rows] @ g.T), 0))

    gains = np.empty(len(g))
    block = max(1, _CHUNK * _CHUNK // max(1, len(g)))
    farthest = 2 * float(np.sqrt(square.max(initial=0))) + 1e-6  # no two points are farther apart
    for start in range(0, len(g), block):
        tick()
        rows = np.arange(start, min(start + block, len(g)))
        gains[rows] = (farthest - distances(rows)).sum(axis=1, dtype=np.float64)
    queue = [(-gain, row) for row, gain in enumerate(gains.tolist())]
    heapq.heapify(queue)
    best = np.zeros(len(g))  # max over those chosen, of the similarity to each point
    nearest = np.zeros(len(g), np.int64)
    chosen: list[int] = []
    while len(chosen) < count:
        tick()
        _, row = heapq.heappop(queue)
        similar = farthest - distances(np.array([row]))[0]
        gain = float(np.maximum(similar - best, 0).sum(dtype=np.float64))
        if queue and gain < -queue[0][0] - 1e-9 * abs(gain):
            heapq.heappush(queue, (-gain, row))
            continue
        closer = similar > best
        nearest[closer] = len(chosen)
        best = np.maximum(best, similar)
        chosen.append(row)
    return np.array(chosen, np.int64), np.bincount(nearest, minlength=count)
