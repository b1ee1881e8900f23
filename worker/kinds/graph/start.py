"""Cheap nodes made of propagated rows of the train nodes: where a learned condensation starts, and what any summary is
compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from worker.kinds.graph.allocation import allocate
from worker.kinds.graph.clustering.propagated_means import class_means
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import Features
from worker.kinds.graph.herding import herd
from worker.kinds.graph.selection import chosen_nodes

Start = Literal["k-means-prop", "herding", "random"]


def start_nodes(
    seen: Graph, rows: np.ndarray, n: int, how: Start, rng: np.random.Generator, tick: Callable[[], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Features float32 (n, d) and classes int64 (n,), grouped by class, of rows (m, d) of the train nodes of a visible
    graph: centroids of each class, or herded or random rows of it."""
    y = seen.y[seen.train]
    if how == "k-means-prop":
        clusters = class_means(rows, y, allocate(seen.train_counts, n), rng, tick=tick)
        return clusters.x, clusters.y
    place = np.full(seen.n, -1, np.int64)
    place[seen.train] = np.arange(len(seen.train))

    def choose(c: int, nodes: np.ndarray, k: int) -> np.ndarray:
        return nodes[herd(rows[place[nodes]], k)] if how == "herding" else rng.permutation(nodes)[:k]

    nodes = chosen_nodes(seen, n, choose)
    return rows[place[nodes]].copy(), seen.y[nodes]


def typical(x: Features) -> float:
    """Mean size of the features that are not 0: the unit of step sizes, whatever the features' scale."""
    values = x[x != 0] if isinstance(x, np.ndarray) else x.data
    return float(np.abs(values).mean()) if values.size else 1.0
