"""Orders in which real training sequences are kept: whoever takes the first n of one has the pick of size n.

All take sequences of two events or more first: a single event trains nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np

from worker.contract.context import Context
from worker.kinds.sequences.embedding import item_vectors, sequence_vectors
from worker.kinds.sequences.rows import Rows

Order = Callable[[Rows, int, int, int, Context], np.ndarray]
"""`(training rows, V, how many will be taken at most, seed, ctx) -> numbers of rows`, at least that many."""


def able_first(rows: Rows, order: np.ndarray) -> np.ndarray:
    """The same order, rows that can train something before those that cannot."""
    able = rows.lengths[order] > 1
    return np.concatenate((order[able], order[~able]))


def random(rows: Rows, items: int, most: int, seed: int, ctx: Context) -> np.ndarray:
    """Uniformly at random, without replacement."""
    return able_first(rows, np.random.default_rng(seed).permutation(len(rows)))


def longest(rows: Rows, items: int, most: int, seed: int, ctx: Context) -> np.ndarray:
    """By falling length, ties in the order of the data."""
    return np.argsort(-rows.lengths, kind="stable")


def k_center(rows: Rows, items: int, most: int, seed: int, ctx: Context) -> np.ndarray:
    """Greedy k-centre (Gonzalez 1985): each time the sequence farthest from all that are taken; the first is the one
    nearest to the mean. O(n k dim)."""
    at, points = _points(rows, items, seed)
    nearest = np.full(len(at), -np.inf, np.float32)  # cosine with the nearest that is taken
    taken: list[int] = []
    following = int(np.argmax(points @ points.mean(axis=0)))
    for number in range(min(most, len(at))):
        ctx.progress(number, most)
        taken.append(following)
        np.maximum(nearest, points @ points[following], out=nearest)
        nearest[following] = np.inf
        following = int(np.argmin(nearest))
    return _completed(rows, at[taken])


def herding(rows: Rows, items: int, most: int, seed: int, ctx: Context) -> np.ndarray:
    """Herding (Welling 2009): each time the sequence that brings the mean of those taken nearest to the mean of all."""
    at, points = _points(rows, items, seed)
    mean, wanted = points.mean(axis=0), np.zeros(points.shape[1], np.float64)
    left = np.ones(len(at), bool)
    taken: list[int] = []
    for number in range(min(most, len(at))):
        ctx.progress(number, most)
        wanted += mean
        scores = np.where(left, points @ wanted.astype(np.float32), -np.inf)
        best = int(np.argmax(scores))
        taken.append(best)
        left[best] = False
        wanted -= points[best]
    return _completed(rows, at[taken])


def coverage(rows: Rows, items: int, most: int, seed: int, ctx: Context) -> np.ndarray:
    """Greedy weighted coverage of transitions: each time the sequence whose pairs (item, next item) that no taken one
    has are most frequent in the data, over the number of its events. Lazy greedy; ties in the order of the data."""
    at = np.flatnonzero(rows.lengths > 1)
    some = rows.take(at)
    _, number, count = np.unique(some.pairs(items)[1], return_inverse=True, return_counts=True)
    starts = some.indptr - np.arange(len(some) + 1)
    open_ = count.astype(np.float64)
    size = some.lengths.astype(np.float64)

    def gain(row: int) -> float:
        return float(open_[np.unique(number[starts[row] : starts[row + 1]])].sum() / size[row])

    bound = np.add.reduceat(open_[number], starts[:-1]) / size  # repeats counted: an upper bound
    heap = [(-value, row) for row, value in enumerate(bound.tolist())]
    heapq.heapify(heap)
    taken: list[int] = []
    while heap and len(taken) < most:
        ctx.progress(len(taken), most)
        _, row = heapq.heappop(heap)
        now = gain(row)
        if heap and -heap[0][0] > now + 1e-12:
            heapq.heappush(heap, (-now, row))
            continue
        taken.append(row)
        open_[number[starts[row] : starts[row + 1]]] = 0
    return _completed(rows, at[taken])


def _points(rows: Rows, items: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows can train something, and their unit vectors."""
    at = np.flatnonzero(rows.lengths > 1)
    if not len(at):
        at = np.arange(len(rows))
    return at, sequence_vectors(rows.take(at), item_vectors(rows, items, seed=seed))


def _completed(rows: Rows, taken: np.ndarray) -> np.ndarray:
    """The order followed by all that was not taken, longest first."""
    left = np.ones(len(rows), bool)
    left[taken] = False
    rest = np.flatnonzero(left)
    return np.concatenate((taken, rest[np.argsort(-rows.lengths[rest], kind="stable")]))


PICKS: dict[str, tuple[str, Order]] = {
    "random": ("random sequences", random),
    "longest": ("longest sequences", longest),
    "k-center": ("k-centre sequences", k_center),
}
FURTHER: dict[str, tuple[str, Order]] = {
    "herding": ("herded sequences", herding),
    "coverage": ("covering sequences", coverage),
}
