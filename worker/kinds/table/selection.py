"""Picks of real rows that stand for all rows of a class or bin: herding, k-center, medoids, and random rows.

Every picker takes points x (n, D), weights (n,) and a count, and returns that many distinct row numbers. `spread` asks
one for each stratum.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from worker.contract.context import Context, seed_of

Picker = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]
CANDIDATES = 50_000
"""Rows of a stratum that a picker looks at, or as many as are asked for; of more, as many at random."""
_EXACT = 10_000  # rows up to which k-means takes all of them at every step


def spread(
    points: np.ndarray, weights: np.ndarray, strata: np.ndarray, counts: np.ndarray, pick: Picker, ctx: Context
) -> np.ndarray:
    """Row numbers (s,), sorted: `counts` (k,) picked of each stratum; each draws from a stream of its own."""
    found: list[np.ndarray] = []
    for stratum in np.flatnonzero(counts):
        ctx.progress(int(stratum), len(counts), phase="select")
        rng = np.random.default_rng(seed_of(ctx.seed, f"stratum {stratum}"))
        rows = candidates(strata, int(stratum), int(counts[stratum]), rng)
        found.append(rows[pick(points[rows], weights[rows], int(counts[stratum]), rng)])
    return np.sort(np.concatenate(found))


def candidates(strata: np.ndarray, stratum: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """The rows of a stratum, sorted, of which `count` are to be picked: see `CANDIDATES`."""
    rows = np.flatnonzero(strata == stratum)
    most = max(CANDIDATES, count)
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def at_random(x: np.ndarray, weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Distinct rows, all alike."""
    return rng.permutation(len(x))[:count]


def herding(x: np.ndarray, weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows whose running mean stays nearest the weighted mean of all (Welling 2009; Chen et al. 2010).

    With w_0 the mean m, take the row with the largest <w, x>, then w += m - x; no row is taken twice. O(n D count).
    """
    mean = np.average(x, axis=0, weights=weights).astype(np.float32)
    towards, free = mean.copy(), np.ones(len(x), bool)
    taken = np.empty(count, np.int64)
    for place in range(count):
        score = x @ towards
        score[~free] = -np.inf
        taken[place] = best = int(np.argmax(score))
        free[best] = False
        towards += mean - x[best]
    return taken


def k_center(x: np.ndarray, weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Greedy k-center (Gonzalez 1985): from the row nearest the mean, always the row farthest from those taken; at most
    twice the least radius there is. O(n D count)."""
    square = np.einsum("nd,nd->n", x, x)

    def distance(row: np.ndarray) -> np.ndarray:
        return np.maximum(square - 2 * (x @ row) + float(row @ row), 0)

    taken = [int(np.argmin(distance(np.average(x, axis=0, weights=weights).astype(np.float32))))]
    nearest = distance(x[taken[0]])
    while len(taken) < count:
        nearest[taken] = -1.0
        taken.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, distance(x[taken[-1]]))
    return np.array(taken)


def centroids(x: np.ndarray, weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """k-means centres (count, D)."""
    seed = int(rng.integers(2**31))
    if len(x) <= _EXACT:
        model = KMeans(count, n_init=1, max_iter=50, random_state=seed)
    else:
        model = MiniBatchKMeans(count, n_init=3, batch_size=4096, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of equal rows several centres lie on one another
        return np.asarray(model.fit(x, sample_weight=weights).cluster_centers_, np.float32)


def medoids(x: np.ndarray, weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The medoid, by squared distance, of every cluster of k-means: the row nearest its centre. Distinct rows, the
    closest pairs of centre and row first."""
    if count >= len(x):
        return np.arange(len(x))[:count]
    return nearest_rows(x, centroids(x, weights, count, rng))


def nearest_rows(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """A row of x for every centre, all distinct: the nearest that no closer pair has taken."""
    square = np.einsum("nd,nd->n", x, x)
    distance = square[None, :] - 2 * (centres @ x.T)  # up to a constant a centre
    distance += np.einsum("cd,cd->c", centres, centres)[:, None]
    taken = np.full(len(centres), -1, np.int64)
    for centre in np.argsort(distance.min(axis=1), kind="stable"):
        taken[centre] = best = int(np.argmin(distance[centre]))
        distance[:, best] = np.inf
    return taken
