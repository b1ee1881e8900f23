"""The mathematics of ClustGDD (KDD 2025, arXiv:2505.20807): clusters of all nodes by what a linear model makes of them.

F = sum over t < T of (1 - alpha) (alpha Â)^t X; a linear model is trained on F's labelled rows; its outputs for ALL
nodes are clustered; a synthetic node is the mean of F over a cluster, and edges are those between clusters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse

from worker.kinds.graph.clustering.kmeans import best_of
from worker.kinds.graph.condensation.adam import Adam
from worker.kinds.graph.propagation import Operator

RESTARTS = 5


def smoothing_weights(alpha: float, terms: int) -> list[float]:
    """(1 - alpha) alpha^t for t < terms, for `combined`."""
    return [(1 - alpha) * alpha**t for t in range(terms)]


def linear_model(
    f: np.ndarray, y: np.ndarray, classes: int, *, epochs: int, dropout: float, seed: int, tick: Callable[[], None]
) -> np.ndarray:
    """W (d, C) float32 of a softmax regression on rows f (m, d), with dropout on the features (Adam, 0.01, 5e-4)."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.from_numpy(f)
    scale = rows.norm(dim=1).mean().clamp_min(1e-12)
    rows = rows / scale
    target = torch.nn.functional.one_hot(torch.from_numpy(y), classes).to(rows)
    weight = torch.zeros(rows.shape[1], classes)
    adam = Adam({"w": weight}, 0.01, decay=5e-4)
    for epoch in range(epochs):
        if epoch % 16 == 0:
            tick()
        kept = (torch.rand(rows.shape, generator=generator) >= dropout).to(rows) / (1 - dropout)
        h = rows * kept
        adam.step([h.T @ (torch.softmax(h @ weight, 1) - target) / len(h)])
    return (weight / scale).numpy()


def clusters_by_class(
    output: np.ndarray, classes: np.ndarray, given: np.ndarray, rng: np.random.Generator, tick: Callable[[], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster int64 (N,) of every node, and the class int64 (n,) of every cluster: `given[c]` clusters of the nodes of
    class c, by k-means of their outputs (N, C)."""
    found = np.empty(len(output), np.int64)
    start = 0
    for number, k in enumerate(given.tolist()):
        nodes = np.flatnonzero(classes == number)
        found[nodes] = start + best_of(output[nodes], k, rng, restarts=RESTARTS, tick=tick).assignment
        start += k
    return found, np.repeat(np.arange(len(given)), given)


def edges_between(operator: Operator, cluster: np.ndarray, n: int) -> sparse.csr_array:
    """A' = M^T Â M (n, n) without its diagonal, M (N, n) the membership with columns of length 1.

    Columns of sum 1, as published, would shrink every edge by the sizes of both clusters, to nothing beside the
    self-loop of 1 that training adds.
    """
    sizes = np.bincount(cluster, minlength=n).astype(np.float64)
    at = (np.arange(len(cluster)), cluster)
    m = sparse.csr_array((1 / np.sqrt(sizes[cluster]), at), shape=(len(cluster), n))
    joined = sparse.coo_array(m.T @ operator @ m)
    joined = sparse.coo_array((joined + joined.T) / 2)
    off = joined.row != joined.col
    kept = (joined.data[off].astype(np.float32), (joined.row[off], joined.col[off]))
    return sparse.csr_array(kept, shape=(n, n))


def sparsified(
    adjacency: sparse.csr_array, share: np.ndarray, keep: float, rng: np.random.Generator
) -> sparse.csr_array:
    """A share `keep` of the undirected edges, drawn without replacement in proportion to w (1/d_u + 1/d_v), a lower
    bound of w times effective resistance, times the probability that both ends are of one class (`share` (n, C))."""
    upper = sparse.triu(adjacency, 1).tocoo()
    count = int(keep * upper.nnz + 1e-9)
    degrees = np.maximum(adjacency.sum(axis=1), 1e-12)
    odds = upper.data * (1 / degrees[upper.row] + 1 / degrees[upper.col])
    odds = odds * np.einsum("ij,ij->i", share[upper.row], share[upper.col])
    count = min(count, int((odds > 0).sum()))
    if not count:
        return sparse.csr_array(adjacency.shape, dtype=np.float32)
    chosen = rng.choice(upper.nnz, count, replace=False, p=odds / odds.sum())
    half = sparse.coo_array((upper.data[chosen], (upper.row[chosen], upper.col[chosen])), shape=adjacency.shape)
    return sparse.csr_array(half + half.T, dtype=np.float32)
