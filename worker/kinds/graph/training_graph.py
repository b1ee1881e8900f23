"""What a learner is trained on, whether it is the whole graph, a condensed one or a sparsified one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from worker.kinds.graph.dataset import TRAIN, Graph
from worker.kinds.graph.features import Features
from worker.kinds.graph.propagation import Operator, normalised


@dataclass(frozen=True)
class TrainingGraph:
    """A graph to learn from.

    `x`: float32 (n, d), dense or CSR. `adjacency`: float32 CSR (n, n) without self-loops, None where no node has an
    edge: Â is then the identity. `labelled`: int64 (m,), the nodes whose loss counts. `y`: int64 (m,) their classes, or
    `soft`: float32 (m, C) their probabilities of classes, rows summing to 1. `weight`: float32 (m,) or None.
    """

    x: Features
    adjacency: sparse.csr_array | None
    labelled: np.ndarray
    n_classes: int
    y: np.ndarray | None = None
    soft: np.ndarray | None = None
    weight: np.ndarray | None = None

    def __post_init__(self) -> None:
        if (self.y is None) == (self.soft is None):
            raise ValueError("a training graph has either classes or probabilities of classes")
        targets = self.soft if self.y is None else self.y
        if targets is None or len(targets) != len(self.labelled):
            raise ValueError("every labelled node needs one target")

    @classmethod
    def of(cls, graph: Graph) -> TrainingGraph:
        """The whole of what may be looked at, with the labels of the train part."""
        seen = graph.visible()
        nodes = np.flatnonzero(seen.split == TRAIN)
        return cls(seen.x, seen.adjacency, nodes, graph.n_classes, y=seen.y[nodes])

    def __len__(self) -> int:
        return self.x.shape[0]

    @property
    def edges(self) -> int:
        """Undirected edges."""
        return 0 if self.adjacency is None else int(self.adjacency.nnz) // 2

    @cached_property
    def operator(self) -> Operator | None:
        """Â (n, n), None where it is the identity."""
        return None if self.adjacency is None or not self.adjacency.nnz else normalised(self.adjacency)

    def targets(self) -> np.ndarray:
        """Probabilities of classes of the labelled nodes, float32 (m, C)."""
        if self.soft is not None:
            return self.soft
        assert self.y is not None  # noqa: S101 - one of the two is there
        return np.eye(self.n_classes, dtype=np.float32)[self.y]

    def digest(self) -> str:
        """A hash of all of it."""
        digest = hashlib.sha256(repr((self.x.shape, self.n_classes)).encode())
        for array in (*_arrays(self.x), *_arrays(self.adjacency), self.labelled, self.y, self.soft, self.weight):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _arrays(matrix: Features | None) -> tuple[np.ndarray | None, ...]:
    if matrix is None or isinstance(matrix, np.ndarray):
        return (matrix,)
    return matrix.data, matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
