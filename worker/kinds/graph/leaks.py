"""Whether nodes that learners are to be trained on are those that a graph asks for."""

from __future__ import annotations

import numpy as np

from worker.kinds.graph.dataset import TEST, TRAIN, VALIDATION, Graph
from worker.kinds.graph.features import Features, dense

_BLOCK = 4096


def held_out_nodes(data: Graph, x: Features) -> np.ndarray:
    """Which rows of features in terms of `data` are those of a validation or test node of it (to four decimals), and of
    no train node: bool (n,). Rows without any feature say nothing and are none."""
    held = np.isin(data.split, (VALIDATION, TEST))
    asked = _rows(data.x[np.flatnonzero(held)])
    trained = _rows(data.x[np.flatnonzero(data.split == TRAIN)])
    return np.array([row in asked and row not in trained for row in _each(x)], dtype=bool)


def held_out_sources(data: Graph, source: np.ndarray, y: np.ndarray) -> int:
    """How many labelled nodes, by the numbers of the nodes of `data` that they are, are validation or test nodes of it,
    or no nodes of it. `source`, `y`: int64 (n,), -1 where there is no label."""
    labelled = source[y >= 0]
    known = labelled[labelled < data.n]
    return len(labelled) - len(known) + int(np.isin(data.split[known], (VALIDATION, TEST)).sum())


def _rows(x: Features) -> set[bytes]:
    return set(_each(x)) - {b""}


def _each(x: Features) -> list[bytes]:
    found: list[bytes] = []
    for start in range(0, x.shape[0], _BLOCK):
        block = np.round(dense(x[start : start + _BLOCK]), 4) + 0.0  # -0.0 is 0.0
        found += [row.tobytes() if row.any() else b"" for row in block]
    return found
