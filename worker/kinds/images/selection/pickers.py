"""Picks of real images by their place among those of their class: herding, k-center, k-means, medoids, and at random.

Every picker takes points x float32 (n, D) of one class and a count, and returns that many distinct row numbers.
`spread` asks one for each class, so that nothing larger than a class is ever compared with itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from worker.contract.context import Context, seed_of
from worker.kinds.images.image_set import ImageSet

Picker = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
Features = Callable[[np.ndarray], np.ndarray]
"""Numbers of training images to points float32 (n, D)."""
CANDIDATES = 50_000
"""Images of a class that a picker looks at, or as many as are asked for; of more, as many at random."""
_EXACT = 20_000  # points up to which k-means takes all of them at every step
_CHUNK = 8192
_SIDE = 32


def spread(images: ImageSet, counts: np.ndarray, features: Features, pick: Picker, ctx: Context) -> np.ndarray:
    """Numbers of training images (s,): `counts` (C,) picked of each class; each draws from a stream of its own."""
    found: list[np.ndarray] = []
    for one in np.flatnonzero(counts):
        ctx.progress(int(one), len(counts), phase="select")
        rng = np.random.default_rng(seed_of(ctx.seed, f"class {one}"))
        rows = candidates(images.y, int(one), int(counts[one]), rng)
        found.append(rows[pick(features(rows), int(counts[one]), rng)])
    return np.concatenate(found)


def candidates(y: np.ndarray, one: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """The images of a class, sorted, of which `count` are to be picked: see `CANDIDATES`."""
    rows = np.flatnonzero(y == one)
    most = max(CANDIDATES, count)
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def pixel_features(images: ImageSet) -> Features:
    """Points that are the standardised pixels themselves; of images above 32 pixels a side, the means of blocks."""
    block = max(1, -(-max(images.shape[1:]) // _SIDE))

    def points(rows: np.ndarray) -> np.ndarray:
        parts = [_shrunk(images.batch(part), block) for part in np.split(rows, range(_CHUNK, len(rows), _CHUNK))]
        return np.concatenate(parts)

    return points


def _shrunk(x: np.ndarray, block: int) -> np.ndarray:
    """The means (n, D) of blocks of pixels; what remains at the edges is left out."""
    n, c, h, w = x.shape
    high, wide = h // block, w // block
    if block == 1:
        return x.reshape(n, -1)
    cut = x[:, :, : high * block, : wide * block].reshape(n, c, high, block, wide, block)
    return cut.mean(axis=(3, 5)).reshape(n, -1)


def at_random(x: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Distinct rows, all alike."""
    return rng.permutation(len(x))[:count]


def herding(x: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows whose running mean stays nearest the mean of all: argmin ||(t + 1) mu - sum of those taken - x_i||, no row
    twice (Welling 2009, in the form of iCaRL, arXiv:1611.07725). O(n D count).

    Published code of dataset condensation has it with the sign reversed in places; the test compares with brute force.
    """
    mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    square = np.einsum("nd,nd->n", x, x)
    total = np.zeros_like(mean)
    free = np.ones(len(x), bool)
    taken = np.empty(count, np.int64)
    for place in range(count):
        towards = (place + 1) * mean - total
        score = square - 2 * (x @ towards)
        score[~free] = np.inf
        taken[place] = best = int(np.argmin(score))
        free[best] = False
        total += x[best]
    return taken


def k_center(x: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Greedy k-center (Gonzalez 1985): from the row nearest the mean, always the row farthest from those taken; at most
    twice the least radius there is. O(n D count), memory O(n)."""
    square = np.einsum("nd,nd->n", x, x)

    def distance(point: np.ndarray) -> np.ndarray:
        return np.maximum(square - 2 * (x @ point) + float(point @ point), 0)

    taken = [int(np.argmin(distance(x.mean(axis=0, dtype=np.float64).astype(np.float32))))]
    nearest = distance(x[taken[0]])
    while len(taken) < count:
        nearest[taken] = -1.0
        taken.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, distance(x[taken[-1]]))
    return np.array(taken)


def clusters(x: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """k-means: centres (count, D), and how many rows lie in the cluster of each (count,)."""
    seed = int(rng.integers(2**31))
    if len(x) <= _EXACT:
        model = KMeans(count, n_init=1, max_iter=100, random_state=seed)
    else:
        model = MiniBatchKMeans(count, n_init=3, batch_size=4096, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of equal rows several centres lie on one another
        model.fit(x)
    return np.asarray(model.cluster_centers_, np.float32), np.bincount(model.labels_, minlength=count)


def medoids(x: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The row nearest the centre of every cluster of k-means, no row twice."""
    if count >= len(x):
        return np.arange(len(x))[:count]
    return nearest_rows(x, clusters(x, count, rng)[0])


def best_of_clusters(x: np.ndarray, loss: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of `count` rows: of every cluster of k-means the one of least loss (n,), and where rows are equal, so
    that clusters are empty, the least of the others. All of them where there are no more. Ties go to the earlier row.
    """
    order = np.argsort(loss, kind="stable")
    if count >= len(x):
        return order
    centres = clusters(x, count, rng)[0]
    away = np.einsum("kd,kd->k", centres, centres) - 2 * (x @ centres.T)
    first = np.sort(np.unique(away.argmin(axis=1)[order], return_index=True)[1])
    return np.concatenate([order[first], np.delete(order, first)])[:count]


def nearest_rows(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """A row of x for every centre, all distinct: the nearest that no closer pair has taken."""
    square = np.einsum("nd,nd->n", x, x)
    own = np.einsum("cd,cd->c", centres, centres)

    def distances(some: np.ndarray) -> np.ndarray:
        return square - 2 * (centres[some] @ x.T) + own[some, None]

    block = max(1, _CHUNK * _CHUNK // max(1, len(x)))
    blocks = [np.arange(start, min(start + block, len(centres))) for start in range(0, len(centres), block)]
    closest = np.concatenate([distances(some).min(axis=1) for some in blocks])
    free = np.ones(len(x), bool)
    taken = np.full(len(centres), -1, np.int64)
    for centre in np.argsort(closest, kind="stable"):
        away = distances(np.array([centre]))[0]
        away[~free] = np.inf
        taken[centre] = best = int(np.argmin(away))
        free[best] = False
    return taken
