"""Features for graphs that have none, made of their edges."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import eigsh

from worker.kinds.graph.features import Features
from worker.kinds.graph.propagation import normalised

FORMS = ("degree_onehot", "spectral64")
_DEGREES, _VECTORS = 64, 64


def within_parts(adjacency: sparse.csr_array, split: np.ndarray) -> sparse.csr_array:
    """The edges within the parts of a split, which are all that an inductive setting may look at."""
    pairs = adjacency.tocoo()
    kept = split[pairs.row] == split[pairs.col]
    return sparse.csr_array((pairs.data[kept], (pairs.row[kept], pairs.col[kept])), shape=adjacency.shape)


def made_features(form: str, adjacency: sparse.csr_array) -> Features:
    """`degree_onehot`: 1 at the degree of a node, of 63 for all above: CSR (n, 64). `spectral64`: the eigenvectors of
    the 64 largest eigenvalues of Â, times them, each with its largest entry positive: float32 (n, 64 at most)."""
    n = adjacency.shape[0]
    if form == "degree_onehot":
        degree = np.minimum(np.diff(adjacency.indptr), _DEGREES - 1)
        return sparse.csr_array((np.ones(n, np.float32), (np.arange(n), degree)), shape=(n, _DEGREES))
    operator = normalised(adjacency).astype(np.float64)
    k = min(_VECTORS, n - 2)
    if k < 1:
        return np.ones((n, 1), np.float32)
    values, vectors = eigsh(operator, k=k, which="LA", v0=np.ones(n) / np.sqrt(n), tol=1e-6)
    order = np.argsort(-values)
    vectors = vectors[:, order] * values[order]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(k)])
    return (vectors * np.where(signs == 0, 1, signs)).astype(np.float32)
