"""Optimised product quantisation: vectors to a few codes each (Ge, He, Ke and Sun, CVPR 2013, section 3.1).

A rotation R and one codebook for each of k parts of the rotated space are improved in turn: codebooks by a step of
Lloyd's algorithm, R by the orthogonal Procrustes problem between vectors and what their codes stand for. It starts from
the eigenvectors, dealt out so that every part has about the same product of variances (section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_BLOCK = 8192
_LLOYD, _ROTATIONS = 20, 20
LEAST_VECTORS_A_CODE = 4


@dataclass(frozen=True)
class Quantiser:
    """`mean` (d,), `rotation` (d, d'), `codebooks` (k, codes, d' / k), float32; d' is a multiple of k near d."""

    mean: np.ndarray
    rotation: np.ndarray
    codebooks: np.ndarray

    def rotated(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (n, d) in the space of the codebooks (n, k, d' / k)."""
        return ((vectors - self.mean) @ self.rotation).reshape(len(vectors), len(self.codebooks), -1)

    def codes(self, vectors: np.ndarray) -> np.ndarray:
        """The nearest code in every part, int64 (n, k), for vectors (n, d)."""
        parts = self.rotated(vectors)
        return np.stack([nearest(parts[:, k], book) for k, book in enumerate(self.codebooks)], axis=1)

    def error(self, vectors: np.ndarray) -> float:
        """Mean squared distance between vectors (n, d) and what their codes stand for, over their variance."""
        parts, codes = self.rotated(vectors), self.codes(vectors)
        stands_for = np.stack([book[codes[:, k]] for k, book in enumerate(self.codebooks)], axis=1)
        lost = np.square(vectors - self.mean).sum() - np.square(parts).sum()  # outside the rotated space
        return float((np.square(parts - stands_for).sum() + lost) / np.square(vectors - self.mean).sum())


def nearest(vectors: np.ndarray, book: np.ndarray) -> np.ndarray:
    """The nearest row of a codebook (codes, w) for each vector (n, w), int64 (n,); the first among equals."""
    half = 0.5 * np.square(book).sum(1)
    blocks = [np.argmin(half - vectors[at : at + _BLOCK] @ book.T, axis=1) for at in range(0, len(vectors), _BLOCK)]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.int64)


def fit(
    vectors: np.ndarray, k: int, codes: int, rng: np.random.Generator, heartbeat: Callable[[int, int], None]
) -> Quantiser:
    """Learn k codebooks from float32 vectors (n, d), d >= k, of `codes` codes or n / 4: more would be item numbers."""
    mean = vectors.mean(0)
    centred = (vectors - mean).astype(np.float32)
    rotation = _balanced_axes(centred, k)
    parts = (centred @ rotation).reshape(len(vectors), k, -1)
    codes = max(1, min(codes, len(vectors) // LEAST_VECTORS_A_CODE))
    books = np.stack([parts[rng.choice(len(vectors), codes, replace=False), part] for part in range(k)])
    steps = _LLOYD + _ROTATIONS
    for step in range(steps):
        heartbeat(step, steps)
        stands_for = np.empty_like(parts)
        for part in range(k):
            found = nearest(parts[:, part], books[part])
            books[part] = _means(parts[:, part], found, books[part])
            stands_for[:, part] = books[part][found]
        if step >= _LLOYD:
            left, _, right = np.linalg.svd(centred.T @ stands_for.reshape(len(vectors), -1), full_matrices=False)
            rotation = (left @ right).astype(np.float32)
            parts = (centred @ rotation).reshape(len(vectors), k, -1)
    return Quantiser(mean, rotation, books)


def _balanced_axes(centred: np.ndarray, k: int) -> np.ndarray:
    """Eigenvectors (d, d'), each dealt to the part with the least product of variances that is not full yet."""
    values, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    width = centred.shape[1] // k
    order = np.argsort(-values, kind="stable")[: width * k]
    parts: list[list[int]] = [[] for _ in range(k)]
    logs = np.zeros(k)
    for axis in order:
        part = min((part for part in range(k) if len(parts[part]) < width), key=lambda part: logs[part])
        parts[part].append(int(axis))
        logs[part] += np.log(max(values[axis], 1e-12) / max(values[order[-1]], 1e-12) + 1.0)
    return axes[:, [axis for part in parts for axis in part]].astype(np.float32)


def _means(vectors: np.ndarray, found: np.ndarray, book: np.ndarray) -> np.ndarray:
    """The mean of the vectors of every code; codes without any move to the vectors that are served worst."""
    counts = np.bincount(found, minlength=len(book))
    sums = np.stack([np.bincount(found, weights=column, minlength=len(book)) for column in vectors.T], axis=1)
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], book)
    if len(idle := np.flatnonzero(counts == 0)):
        worst = np.argsort(-np.square(vectors - means[found]).sum(1), kind="stable")[: len(idle)]
        means[idle[: len(worst)]] = vectors[worst]
    return means.astype(np.float32)
