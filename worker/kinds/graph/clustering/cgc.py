"""The mathematics of CGC (Gao et al., WWW 2025, arXiv:2405.13707): partitions of labelled rows, weighted means, edges.

A linear probe says how surely each train node belongs to its class. The propagated rows of a class are cut into
parts, and a part becomes the mean of its rows weighted by that confidence (CGC-X). CGC then joins nodes whose rows
point the same way, and moves their features so that three propagations over these edges give back the means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worker.kinds.graph.clustering.kmeans import best_of

SPECTRAL_UP_TO = 60  # parts of a class; the feature map has (k + 1)(k + 2) / 2 columns
RESTARTS = 10
SMALLEST = 1e-12  # eigenvalues below this share of the largest are rounding
HOPS = 3  # the official loop starts from one propagation and adds two; the paper says 2


def least_squares(h: np.ndarray, y: np.ndarray, classes: int) -> np.ndarray:
    """Probe W (d, C) float32: minimum-norm least squares of one-hot classes on rows h (m, d)."""
    return np.linalg.lstsq(h.astype(np.float64), np.eye(classes)[y], rcond=None)[0].astype(np.float32)


def confidence(h: np.ndarray, y: np.ndarray, probe: np.ndarray) -> np.ndarray:
    """Probability float64 (m,) that the probe gives to the class of each row; the least of all where it is wrong."""
    logits = (h @ probe).astype(np.float64)
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    found = share[np.arange(len(y)), y]
    return np.where(logits.argmax(axis=1) == y, found, found.min())


def f1_by_class(predicted: np.ndarray, y: np.ndarray, classes: int) -> np.ndarray:
    """F1 (C,) of each class, 0 where it is neither there nor predicted."""
    both = np.bincount(y[predicted == y], minlength=classes)
    total = np.bincount(predicted, minlength=classes) + np.bincount(y, minlength=classes)
    return 2 * both / np.maximum(total, 1)


def augmentation(
    h1: np.ndarray, y: np.ndarray, probe: np.ndarray, ratio: float, rng: np.random.Generator
) -> np.ndarray:
    """floor(ratio * m) numbers of rows, drawn with replacement, more often of classes that the probe knows badly from
    H_1: in proportion to 1 - F1, uniformly where every F1 is 1."""
    count = int(ratio * len(y) + 1e-9)
    missing = 1 - f1_by_class((h1 @ probe).argmax(axis=1), y, probe.shape[1])[y]
    total = missing.sum()
    return rng.choice(len(y), size=count, p=missing / total if total > 0 else None)


def leading_directions(centred: np.ndarray, k: int) -> np.ndarray:
    """The k leading left singular vectors (m, k) of rows (m, d), or as many as the rows have directions.

    By the smaller of both products of the rows with themselves, (m, m) or (d, d), so that no class of many nodes needs
    a matrix of all its pairs.
    """
    wide = len(centred) <= centred.shape[1]
    values, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
    if wide:
        return vectors
    real = values > SMALLEST * values[0]
    real[0] = True
    return centred @ vectors[:, real] / np.sqrt(np.maximum(values[real], 1e-300))


def spectral_parts(rows: np.ndarray, k: int, rng: np.random.Generator, tick: Callable[[], None]) -> np.ndarray:
    """Part int64 (m,) of each row (m, d), k parts.

    The rows are centred; U are their k leading left singular vectors, phi(u) the features of the kernel (u.v + c)^2
    with c = 1/sqrt(2); k-means of singular vectors 2..k+1 of phi scaled by the square roots of the kernel's degrees.
    """
    leading = leading_directions((rows - rows.mean(axis=0)).astype(np.float64), k)
    tick()
    c = 1 / np.sqrt(2)
    a, b = np.triu_indices(leading.shape[1], 1)
    phi = np.concatenate(
        [
            np.full((len(rows), 1), c),
            np.sqrt(2 * c) * leading,
            leading**2,
            np.sqrt(2) * leading[:, a] * leading[:, b],
        ],
        axis=1,
    )
    degrees = phi @ phi.sum(axis=0)
    scaled = phi / np.sqrt(np.maximum(degrees, 1e-12))[:, None]
    left = np.linalg.svd(scaled, full_matrices=False)[0][:, 1 : k + 1]
    tick()
    return best_of(left.astype(np.float32), k, rng, restarts=RESTARTS, tick=tick).assignment


def parts_of(
    rows: np.ndarray, k: int, how: str, rng: np.random.Generator, tick: Callable[[], None] = lambda: None
) -> np.ndarray:
    """Part int64 (m,) of each row (m, d), none of k parts empty; every row its own where k is m.

    `how`: `spectral`, which gives way to k-means above 60 parts, or `kmeans`.
    """
    if k >= len(rows):
        return np.arange(len(rows))
    if how == "spectral" and k <= SPECTRAL_UP_TO:
        return spectral_parts(rows, k, rng, tick)
    return best_of(rows, k, rng, restarts=RESTARTS, tick=tick).assignment


def part_weights(parts: np.ndarray, sure: np.ndarray, tau: float) -> np.ndarray:
    """softmax(confidence / tau) float64 (m,) within each part: the weights of a part sum to 1."""
    k = int(parts.max()) + 1
    highest = np.full(k, -np.inf)
    np.maximum.at(highest, parts, sure / tau)
    weight = np.exp(sure / tau - highest[parts])
    return weight / np.bincount(parts, weights=weight, minlength=k)[parts]


def weighted_means(rows: np.ndarray, parts: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sum of weight times row over each part, float32 (k, d)."""
    found = np.zeros((int(parts.max()) + 1, rows.shape[1]))
    np.add.at(found, parts, weight[:, None] * rows)
    return found.astype(np.float32)


@dataclass(frozen=True)
class Joined:
    """Edges among condensed nodes: `adjacency` float32 (n, n) 0/1, zero diagonal, and features (n, d) to go with it."""

    x: np.ndarray
    adjacency: np.ndarray

    @property
    def edges(self) -> int:
        """Undirected edges."""
        return int(self.adjacency.sum()) // 2


def alike(h: np.ndarray, threshold: float) -> np.ndarray:
    """A' float32 (n, n): 1 where the cosine of two rows of h (n, d) is above the threshold, zero diagonal."""
    unit = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)
    joined = (unit @ unit.T > threshold).astype(np.float32)
    np.fill_diagonal(joined, 0)
    return joined


def smoothing(adjacency: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """S = Â'^3 and the normalised Laplacian L of A', both float64 (n, n); L of a node without edges is 0."""
    n = len(adjacency)
    looped = adjacency.astype(np.float64) + np.eye(n)
    scale = 1 / np.sqrt(looped.sum(axis=1))
    hat = scale[:, None] * looped * scale[None, :]
    degrees = adjacency.sum(axis=1, dtype=np.float64)
    inverse = np.where(degrees > 0, 1 / np.sqrt(degrees + 1e-10), 0)
    laplacian = np.diag((degrees > 0).astype(np.float64)) - inverse[:, None] * adjacency * inverse[None, :]
    return np.linalg.matrix_power(hat, HOPS), laplacian


def join(h: np.ndarray, threshold: float, alpha: float, *, official: bool = False) -> Joined:
    """Edges by cosine, and features x that solve min alpha |S x - h|² + tr(x^T L x), scaled so that S x has the mean
    norm of h.

    The official code returns (S S^T + L)^-1 alpha S^T h: there alpha only scales the features, and where no two nodes
    are joined they are alpha times h and no longer match the original graph. `official=True` gives that.
    """
    adjacency = alike(h, threshold)
    s, laplacian = smoothing(adjacency)
    right = alpha * (s.T @ h.astype(np.float64))
    if official:
        return Joined(np.linalg.solve(s @ s.T + laplacian, right).astype(np.float32), adjacency)
    x = np.linalg.solve(alpha * (s.T @ s) + laplacian, right)
    wanted = np.linalg.norm(h, axis=1).mean()
    reached = np.linalg.norm(s @ x, axis=1).mean()
    return Joined((x * (wanted / max(reached, 1e-30))).astype(np.float32), adjacency)
