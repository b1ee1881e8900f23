"""Which documents stand for all: in proportion to how rare they are, by the mean, or so that no label is left out."""

from __future__ import annotations

import heapq

import numpy as np
from scipy.spatial.distance import pdist

from worker.contract.context import Context
from worker.kinds.labels.dataset import LabelSet
from worker.kinds.labels.vectors import Vectoriser, centroids
from worker.numerics.inclusion import clipped
from worker.numerics.lsh import Hashes
from worker.numerics.sketch import Sketch

_SAMPLED = 2_000
_TICK = 256
_PAIRS = 16_384


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


def nearest_centroids(training: LabelSet, count: int, ctx: Context) -> np.ndarray:
    """In turns, for the labels from the most frequent on, the document of each that is nearest its centroid (cosine)
    and not taken yet: int64 (count,)."""
    document, _ = _by_turns(training, ctx)
    first = np.sort(np.unique(document, return_index=True)[1])
    return document[first][:count]


def nearest_cover(training: LabelSet, least: int, ctx: Context) -> np.ndarray:
    """Documents int64 that give every label `least` of them, or all it has: for the labels from the most frequent on,
    as many of those nearest its centroid as it still needs."""
    document, label = _by_turns(training, ctx)
    order = np.lexsort((np.arange(len(label)), label, -training.counts[label]))  # all turns of a label together
    needed = np.minimum(training.counts, least)
    indptr, indices = training.targets.indptr, training.targets.indices
    taken: dict[int, None] = {}
    for place, at in enumerate(order):
        if place % 65_536 == 0:
            ctx.progress(place, len(order), phase="cover")
        row = int(document[at])
        if needed[label[at]] > 0 and row not in taken:
            taken[row] = None
            needed[indices[indptr[row] : indptr[row + 1]]] -= 1
    return np.fromiter(taken, np.int64, len(taken))


def _by_turns(training: LabelSet, ctx: Context) -> tuple[np.ndarray, np.ndarray]:
    """Documents and labels of all pairs, int64 (p,): every label's documents by their cosine to its centroid, one a
    turn; turns in order, in each the labels from the most frequent on."""
    _, vectors = Vectoriser.fit(training, ctx)
    centres = centroids(training.targets, vectors, training.weights)
    pairs = training.targets.tocoo()
    near = np.empty(pairs.nnz)
    for start in range(0, pairs.nnz, _PAIRS):
        ctx.progress(start, pairs.nnz, phase="nearest")
        part = slice(start, start + _PAIRS)
        near[part] = np.asarray(vectors[pairs.row[part]].multiply(centres[pairs.col[part]]).sum(axis=1)).ravel()
    order = np.lexsort((pairs.row, -near, pairs.col))
    starts = np.concatenate([[0], np.cumsum(training.counts)])[:-1]
    turn = np.empty(pairs.nnz, np.int64)
    turn[order] = np.arange(pairs.nnz) - starts[pairs.col[order]]
    ranked = np.lexsort((pairs.col, -training.counts[pairs.col], turn))
    return pairs.row[ranked].astype(np.int64), pairs.col[ranked].astype(np.int64)


def fewest_cover(training: LabelSet, least: int, ctx: Context) -> np.ndarray:
    """Documents int64 that give every label at least `least` of them, or all it has, as few as is found.

    Greedy (Nemhauser, Wolsey and Fisher 1978): always the document with most labels that still need one; ties by the
    lower number. Lazily: what a document would add only falls.
    """
    indptr, indices = training.targets.indptr, training.targets.indices
    needed = np.minimum(training.counts, least)
    heap = [(-int(size), row) for row, size in enumerate(np.diff(indptr))]
    heapq.heapify(heap)
    taken: list[int] = []
    looked = 0
    while heap:
        if looked % 4096 == 0:
            ctx.progress(min(looked, len(training)), len(training), phase="cover")
        looked += 1
        said, row = heap[0]
        labels = indices[indptr[row] : indptr[row + 1]]
        gain = int((needed[labels] > 0).sum())
        if not gain:
            heapq.heappop(heap)
        elif gain < -said:
            heapq.heapreplace(heap, (-gain, row))
        else:
            heapq.heappop(heap)
            taken.append(row)
            needed[labels] -= 1
    return np.array(taken, np.int64)
