"""Clusters of document vectors, and what lies in the middle of them or beside another document.

Centres are fitted by Lloyd's algorithm on up to 65,536 documents, those with the smallest random numbers of their keys
in the order of these numbers, which is also where centres start; then one pass finds the centre of every document.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from worker.contract.context import Context
from worker.executor.passes import map_shards
from worker.kinds.text.embedding.vectors import Block, Vectors
from worker.kinds.text.noise import uniform

MOST_CLUSTERS = 10_000
FITTED_ON, ROUNDS = 65_536, 10
_COMPARED = 4_096  # documents of a cluster that are compared with each other at once
_TOGETHER = 8_192  # documents of the clusters that are one piece of a pass


def clusters_for(documents: int) -> int:
    """The root of the number of documents, at most 10,000."""
    return max(1, min(MOST_CLUSTERS, round(math.sqrt(documents))))


def unit(x: np.ndarray) -> np.ndarray:
    """Rows float32 (n, d) at length 1: what follows is about the angles between documents."""
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def centres_of(vectors: Vectors, keys: np.ndarray, clusters: int, ctx: Context) -> np.ndarray:
    """Centres float32 (clusters, d) of length 1 (spherical k-means, Dhillon and Modha, 2001)."""
    places = np.argsort(uniform(keys, ctx.seed, "centres"), kind="stable")[:FITTED_ON]
    x = unit(vectors.take(places))
    centres = x[:clusters].copy()
    for round_ in range(ROUNDS):
        nearest = np.empty(len(x), np.int64)
        for start in range(0, len(x), 4_096):
            ctx.progress(round_ * len(x) + start, ROUNDS * len(x), phase="clusters")
            nearest[start : start + 4_096] = (x[start : start + 4_096] @ centres.T).argmax(axis=1)
        sums = np.zeros(centres.shape)
        np.add.at(sums, nearest, x)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 1e-9, sums / np.maximum(lengths, 1e-9), centres).astype(np.float32)
    return centres


@dataclass(frozen=True)
class Nearest:
    """The map of a pass: of a block, which centre is nearest to each vector int32 (n,), and its cosine float32 (n,)."""

    centres: np.ndarray

    def __call__(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Of one block."""
        x = unit(block.read())
        which, cosine = np.empty(len(x), np.int32), np.empty(len(x), np.float32)
        for start in range(0, len(x), 1_024):
            part = slice(start, start + 1_024)
            near = x[part] @ self.centres.T
            which[part] = near.argmax(axis=1)
            cosine[part] = near.max(axis=1)
        return which, cosine


def assigned(vectors: Vectors, keys: np.ndarray, clusters: int, ctx: Context) -> tuple[np.ndarray, np.ndarray]:
    """The cluster of every vector, int32 (n,), and the cosine to its centre, float32 (n,)."""
    centres = centres_of(vectors, keys, min(clusters, vectors.count), ctx)
    found = list(map_shards(Nearest(centres), vectors.blocks(), ctx, name="clusters", step=1, total=3))
    return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])


@dataclass(frozen=True)
class Closest:
    """The map of a pass: of documents sorted by cluster and precedence (their places int64 (m,), and where clusters
    begin int64), the largest cosine of each to one before it in its cluster, float32 (m,); -1 for the first."""

    vectors: Vectors

    def __call__(self, group: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Of some clusters."""
        places, starts = group
        x = unit(self.vectors.take(places))
        found = np.full(len(places), -1, np.float32)
        for start, end in zip(starts, [*starts[1:], len(places)], strict=True):
            for first in range(start + 1, end, 512):
                last = min(first + 512, end)
                cosines = x[first:last] @ x[start:last].T
                later = np.arange(start, last) >= np.arange(first, last)[:, None]
                cosines[later] = -1
                found[first:last] = cosines.max(axis=1)
        return found


def closest_before(
    vectors: Vectors, cluster: np.ndarray, precedence: np.ndarray, keys: np.ndarray, ctx: Context
) -> np.ndarray:
    """The largest cosine of each document to one of its cluster that precedes it (larger `precedence`, then smaller
    key), float32 (n,); -1 for the first. Clusters above 4,096 documents are taken in runs of so many."""
    order = np.lexsort((keys, -precedence, cluster))
    ends = np.flatnonzero(np.diff(cluster[order])) + 1
    bounds = np.concatenate([[0], ends, [len(order)]])
    starts = np.concatenate([np.arange(a, b, _COMPARED) for a, b in pairwise(bounds)])
    groups: list[tuple[np.ndarray, np.ndarray]] = []
    first = 0
    while first < len(starts):
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + _TOGETHER)))
        end = starts[last] if last < len(starts) else len(order)
        groups.append((order[starts[first] : end], starts[first:last] - starts[first]))
        first = last
    found = np.empty(len(order), np.float32)
    pieces = map_shards(Closest(vectors), groups, ctx, name="closest documents", step=2, total=3)
    for (places, _), values in zip(groups, pieces, strict=True):
        found[places] = values
    return found
