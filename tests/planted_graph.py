"""Graphs with planted classes (contextual stochastic block model): homophily and noise are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from worker.kinds.graph.dataset import NONE, TEST, TRAIN, VALIDATION, Graph, symmetric
from worker.numerics.npz import write_npz


def planted(
    n: int = 300,
    *,
    classes: int = 3,
    features: int = 16,
    degree: float = 6.0,
    homophily: float = 0.8,
    noise: float = 1.0,
    seed: int = 0,
    parts: tuple[float, float, float] = (0.3, 0.3, 0.4),
    setting: str = "transductive",
) -> Graph:
    """Class means plus Gaussian noise; each edge joins nodes of one class with probability `homophily`."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    means = rng.normal(size=(classes, features))
    x = (means[y] + noise * rng.normal(size=(n, features))).astype(np.float32)
    count = int(n * degree / 2)
    first = rng.integers(n, size=count)
    alike = rng.random(count) < homophily
    members = [np.flatnonzero(y == c) for c in range(classes)]
    drift = rng.integers(1, classes, size=count)
    target = np.where(alike, y[first], (y[first] + drift) % classes)
    sizes = np.array([len(one) for one in members])
    second = np.concatenate(members)[np.cumsum(np.r_[0, sizes])[target] + rng.integers(sizes[target])]
    kept = first != second
    pairs = np.unique(np.sort(np.stack([first[kept], second[kept]], axis=1), axis=1), axis=0).T
    order = rng.permutation(n)
    bounds = np.round(np.cumsum(parts) * n).astype(int)
    split = np.full(n, NONE, np.int8)
    split[order[: bounds[0]]], split[order[bounds[0] : bounds[1]]] = TRAIN, VALIDATION
    split[order[bounds[1] : bounds[2]]] = TEST
    names = tuple(map(str, range(classes)))
    return Graph(x, symmetric(pairs, n), y.astype(np.int64), split, names, setting)


def as_npz(graph: Graph, file: Path) -> Path:
    """The graph as an npz bundle."""
    adjacency = sparse.coo_array(graph.adjacency)
    arrays = {
        "edge_index": np.stack([adjacency.row, adjacency.col]).astype(np.int64),
        "y": graph.y,
        "train_idx": graph.nodes(TRAIN),
        "val_idx": graph.nodes(VALIDATION),
        "test_idx": graph.nodes(TEST),
    }
    if sparse.issparse(graph.x):
        arrays |= {
            "x_data": graph.x.data, "x_indices": graph.x.indices, "x_indptr": graph.x.indptr,
            "x_shape": np.array(graph.x.shape),
        }  # fmt: skip
    else:
        arrays["x"] = graph.x
    write_npz(file, arrays)
    return file
