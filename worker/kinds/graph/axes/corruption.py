"""Corrupted graphs: noise in features, random edges, and edges placed by an adversary who knows the labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from worker.kinds.graph.dataset import Graph, symmetric, upper
from worker.kinds.graph.features import compact, dense

KINDS = ("features", "edges", "adversarial")


def corrupted(graph: Graph, kind: str, rate: float, seed: int) -> Graph:
    """The graph with `rate` of its features or edges corrupted; labels and split as they were.

    `features`: a share `rate` of all entries takes the value of another node, drawn for each entry, so that every
    column keeps its distribution. `edges`: rate * E random edges are added. `adversarial`: DICE (Waniek et al. 2018):
    rate * E changes, half of them removing an edge within a class, half adding one between classes.
    """
    rng = np.random.default_rng([seed, 31])
    if kind == "features":
        x = dense(graph.x).copy()
        changed = rng.random(x.shape) < rate
        rows, columns = np.nonzero(changed)
        x[rows, columns] = dense(graph.x)[rng.integers(graph.n, size=len(rows)), columns]
        return replace(graph, x=compact(x) if sparse.issparse(graph.x) else x)
    edges, weights = upper(graph.adjacency)
    count = round(rate * edges.shape[1])
    if kind == "edges":
        return replace(graph, adjacency=_added(graph, edges, weights, rng.integers(graph.n, size=(2, count))))
    y = graph.y
    within = np.flatnonzero((y[edges[0]] == y[edges[1]]) & (y[edges[0]] >= 0))
    dropped = rng.choice(within, min(count - count // 2, len(within)), replace=False)
    kept = np.ones(edges.shape[1], bool)
    kept[dropped] = False
    between = rng.integers(graph.n, size=(2, 4 * (count // 2) + 8))
    between = between[:, (y[between[0]] != y[between[1]]) & (y[between] >= 0).all(axis=0)][:, : count // 2]
    return replace(graph, adjacency=_added(graph, edges[:, kept], weights[kept], between))


def _added(graph: Graph, edges: np.ndarray, weights: np.ndarray, more: np.ndarray) -> sparse.csr_array:
    """The adjacency with further edges of weight 1; what is there already, and self-loops, are left."""
    more = np.sort(more[:, more[0] != more[1]], axis=0)
    key = np.unique(more[0].astype(np.int64) * graph.n + more[1])
    known = edges[0].astype(np.int64) * graph.n + edges[1]
    key = np.setdiff1d(key, known)
    whole = np.concatenate([edges, np.stack([key // graph.n, key % graph.n])], axis=1)
    return symmetric(whole, graph.n, np.concatenate([weights, np.ones(len(key), np.float32)]))
