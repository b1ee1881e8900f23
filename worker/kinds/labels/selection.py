"""Which documents stand for all: in proportion to how rare they are, by the mean, or so that no label is left out."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import pdist

from worker.contract.context import Context
from worker.kinds.labels.dataset import LabelSet
from worker.numerics.inclusion import clipped
from worker.numerics.lsh import Hashes
from worker.numerics.sketch import Sketch

_SAMPLED = 2_000
_TICK = 256


def densities(x: np.ndarray, rows: int, ctx: Context) -> np.ndarray:
    """How crowded it is around each document, float64 (n,): estimated sums of kernels with all others.

    A RACE sketch of `rows` pairs of L2 hashes whose width is 0.4 times the median distance of 2,000 documents; buckets
    at least 10 times the root of n (Sachdeva et al. 2024, algorithm 2, without the mass of equal remainders).
    """
    rng = np.random.default_rng([ctx.seed, 1])
    sample = x[np.sort(rng.permutation(len(x))[:_SAMPLED])]
    middle = float(np.median(pdist(sample))) if len(sample) > 1 else 1.0
    width = 0.4 * (middle or 1.0)
    buckets = max(1 << 12, int(10 * len(x) ** 0.5))
    sketch = Sketch(Hashes("l2", x.shape[1], width, 2, rows, buckets, ctx.seed))
    done = 0

    def alive() -> None:
        nonlocal done
        ctx.progress(done, 2 * (len(x) // 2048 + 1), phase="density")
        done += 1

    sketch.add(x, alive)
    return sketch.densities(x, alive)


def by_rarity(density: np.ndarray, count: int, ctx: Context, allowed: np.ndarray | None = None) -> np.ndarray:
    """Distinct documents int64 (count,), drawn one after the other in proportion to 1 / density: the largest keys of
    log weight plus Gumbel noise. `allowed`: bool (n,), those that may be drawn."""
    weights = clipped(1 / density, 1e4)
    keys = np.log(weights) + np.random.default_rng([ctx.seed, 2]).gumbel(size=len(weights))
    if allowed is not None:
        keys = np.where(allowed, keys, -np.inf)
    return np.argsort(-keys, kind="stable")[:count]


def herding(x: np.ndarray, count: int, ctx: Context) -> np.ndarray:
    """Documents whose running mean stays nearest the mean of all (Welling 2009; Chen et al. 2010), int64 (count,).

    With w_0 the mean m, take the one with the largest <w, x>, then w += m - x; none is taken twice. O(n D count).
    """
    mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    towards, free = mean.copy(), np.ones(len(x), bool)
    taken = np.empty(count, np.int64)
    for place in range(count):
        if place % _TICK == 0:
            ctx.progress(place, count, phase="herding")
        score = x @ towards
        score[~free] = -np.inf
        taken[place] = best = int(np.argmax(score))
        free[best] = False
        towards += mean - x[best]
    return taken


def cover(training: LabelSet, least: int, count: int, ctx: Context, worth: np.ndarray | None = None) -> np.ndarray:
    """Documents that give every label at least `least` of them, or all it has: at most `count`, int64.

    Greedy (Nemhauser, Wolsey and Fisher 1978): always the document with the largest sum of the `worth` (L,), 1 unless
    given, of the labels that still need one; ties by the lower number. Lazily: what a document would add only falls.
    """
    indptr, indices = training.targets.indptr, training.targets.indices
    needed = np.minimum(training.counts, least)
    worth = np.ones(training.labels) if worth is None else worth
    own: Callable[[int], np.ndarray] = lambda row: indices[indptr[row] : indptr[row + 1]]  # noqa: E731
    sums = np.add.reduceat(np.append(worth[indices], 0.0), indptr[:-1]) * (np.diff(indptr) > 0)
    heap = [(-float(gain), row) for row, gain in enumerate(sums)]
    heapq.heapify(heap)
    taken: list[int] = []
    looked = 0
    while heap and len(taken) < count:
        if looked % 4096 == 0:
            ctx.progress(len(taken), count, phase="cover")
        looked += 1
        said, row = heap[0]
        labels = own(row)
        gain = float(worth[labels[needed[labels] > 0]].sum())
        if gain <= 0:
            heapq.heappop(heap)
        elif gain < -said - 1e-9:
            heapq.heapreplace(heap, (-gain, row))
        else:
            heapq.heappop(heap)
            taken.append(row)
            needed[labels] -= 1
    return np.array(taken, np.int64)
