"""Class-wise k-means of propagated features: the mathematics of `k-means-prop` (GECC, arXiv:2502.17614)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from worker.kinds.graph.clustering.kmeans import WORK, Partition, best_of, fuzzy, preferred
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.propagation import combined

RESTARTED = 0.1  # of the work at which rows are sampled: what the first rounds of all runs may take together
BALANCE = 1.0  # what unequal sizes cost beside distances, as published


@dataclass(frozen=True)
class Clusters:
    """`x`: float32 (n, d) centroids grouped by class; `y`: int64 (n,); `sizes`: int64 (n,) train nodes of each."""

    x: np.ndarray
    y: np.ndarray
    sizes: np.ndarray


def mixed(seen: Graph, weights: Sequence[float], nodes: np.ndarray, tick: Callable[[], None]) -> np.ndarray:
    """F = sum_k weights[k] Â^k X of some nodes, float32 (m, d)."""
    return combined(seen.operator, seen.x, list(weights), nodes, tick)


def class_means(
    rows: np.ndarray,
    y: np.ndarray,
    counts: np.ndarray,
    rng: np.random.Generator,
    *,
    restarts: int = 10,
    balance: float = BALANCE,
    fuzziness: float = 1.0,
    start: Sequence[np.ndarray] | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Clusters:
    """Centroids of the rows (m, d) of each class, `counts` (C,) of them. `start`: centres to begin with, by class."""
    found: list[Partition] = []
    for c, k in enumerate(counts.tolist()):
        part = rows[y == c]
        given = None if start is None else start[c]
        work = max(1, len(part) * k * rows.shape[1])
        runs = max(1, min(restarts, int(RESTARTED * WORK) // work))
        if fuzziness > 1:
            several = [fuzzy(part, k, fuzziness, rng, start=given, tick=tick) for _ in range(runs)]
            found.append(preferred(several, balance))
        else:
            found.append(best_of(part, k, rng, restarts=runs, balance=balance, start=given, tick=tick))
    centres = np.concatenate([run.centres for run in found])
    return Clusters(centres, np.repeat(np.arange(len(counts)), counts), np.concatenate([run.sizes for run in found]))
