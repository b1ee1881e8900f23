"""Labels in a balanced binary tree of clusters, alike ones together: recursive 2-means of vectors by cosine."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from worker.contract.context import Context

_ROUNDS, _GAIN = 20, 1e-4


def clusters(vectors: sparse.csr_matrix, most: int, ctx: Context) -> tuple[np.ndarray, int]:
    """Clusters of at most so many labels, int64 (L,), and the depth D of the tree: there are 2^D of them.

    `vectors`: (L, v), rows of length 1 or 0. The halves of a cluster are its clusters 2c and 2c + 1 one level deeper,
    so label l is under node `clusters[l] >> (D - d)` of level d. Sizes in one level differ by one at most.
    """
    depth = 0
    while most << depth < vectors.shape[0]:
        depth += 1
    found, rng = np.zeros(vectors.shape[0], np.int64), ctx.rng
    for level in range(depth):
        halves = np.zeros_like(found)
        for cluster in range(1 << level):
            ctx.progress((1 << level) + cluster, 1 << depth, phase="label tree")
            among = np.flatnonzero(found == cluster)
            halves[among] = _half(vectors[among], rng)
        found = 2 * found + halves
    return found, depth


def _half(vectors: sparse.csr_matrix, rng: np.random.Generator) -> np.ndarray:
    """0 or 1 for each row, as many of the one as of the other: those nearer to the one centre than to the other."""
    count = vectors.shape[0]
    first, second = (vectors[[row]].toarray()[0] for row in rng.choice(count, 2, replace=False))
    before, side = -np.inf, np.zeros(count, np.int64)
    for _ in range(_ROUNDS):
        lead = vectors @ first - vectors @ second
        side[:] = 1
        side[np.argsort(-lead, kind="stable")[: (count + 1) // 2]] = 0
        sums = [np.asarray(vectors[side == one].sum(axis=0)).ravel() for one in (0, 1)]
        lengths = [float(np.linalg.norm(total)) for total in sums]
        first, second = (total / max(length, 1e-12) for total, length in zip(sums, lengths, strict=True))
        likeness = sum(lengths) / count  # the mean cosine to the own centre
        if likeness - before < _GAIN:
            break
        before = likeness
    return side
