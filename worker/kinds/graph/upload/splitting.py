"""Splits that are drawn: so many train nodes of each class, or shares of the labelled nodes of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.kinds.graph.dataset import NONE, TEST, TRAIN, VALIDATION
from worker.kinds.graph.upload.checks import refuse

RATIOS = (0.5, 0.25, 0.25)


def fits(y: np.ndarray, per_class: int, validation: int, test: int) -> bool:
    """Whether there are as many labelled nodes: of each class, and in all."""
    counts = np.bincount(y[y >= 0])
    return (
        len(counts) > 0
        and bool(counts.min() > per_class)
        and int(counts.sum()) >= per_class * len(counts) + validation + test
    )


def by_counts(y: np.ndarray, per_class: int, validation: int, test: int, seed: int) -> np.ndarray:
    """`per_class` train nodes of each class, then validation and test nodes from the rest: int8 (n,)."""
    if not fits(y, per_class, validation, test):
        raise refuse(
            f"There are not {per_class} train nodes of each class, {validation} for validation and {test} for testing.",
            "Give fewer (train_per_class, validation_nodes, test_nodes), or shares (split_ratios=[0.5, 0.25, 0.25]).",
            "/options/split",
        )
    rng = np.random.default_rng(seed)
    split = np.full(len(y), NONE, np.int8)
    order = rng.permutation(np.flatnonzero(y >= 0))
    for c in range(int(y.max()) + 1):
        split[order[y[order] == c][:per_class]] = TRAIN
    rest = order[split[order] == NONE]
    split[rest[:validation]] = VALIDATION
    split[rest[validation : validation + test]] = TEST
    return split


def by_ratios(y: np.ndarray, ratios: Sequence[float], seed: int) -> np.ndarray:
    """Shares of train, validation and test nodes of each class, at least one train node of each: int8 (n,)."""
    if len(ratios) != 3 or min(ratios) < 0 or ratios[0] <= 0 or sum(ratios) > 1 + 1e-9:
        raise refuse(
            f"split_ratios {list(ratios)} are not three shares of train, validation and test nodes.",
            "Give three numbers that sum to at most 1, as in split_ratios=[0.5, 0.25, 0.25].",
            "/options/split_ratios",
        )
    rng = np.random.default_rng(seed)
    split = np.full(len(y), NONE, np.int8)
    for c in range(int(y.max(initial=-1)) + 1):
        nodes = rng.permutation(np.flatnonzero(y == c))
        bounds = np.round(np.cumsum(ratios) * len(nodes)).astype(int)
        bounds[0] = max(1, bounds[0])
        split[nodes[: bounds[0]]] = TRAIN
        split[nodes[bounds[0] : bounds[1]]] = VALIDATION
        split[nodes[bounds[1] : bounds[2]]] = TEST
    return split
