"""GAME, graph-assisted prediction (ECLARE, arXiv:2108.00261, section 4): likely labels lend to their neighbours."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def game(probabilities: sparse.csr_matrix, graph: sparse.csr_matrix, most: int) -> sparse.csr_matrix:
    """1/2 P + 1/2 top(P G): P (n, L), G (L, L), and of P G the `most` largest entries of each row are kept."""
    if not isinstance(probabilities, sparse.csr_matrix) or probabilities.shape[1] != graph.shape[0]:
        raise ValueError("probabilities must be CSR (n, L), and the graph (L, L)")
    spread = largest(sparse.csr_matrix(probabilities @ graph), most)
    return sparse.csr_matrix(0.5 * probabilities + 0.5 * spread)


def largest(matrix: sparse.csr_matrix, most: int) -> sparse.csr_matrix:
    """The `most` largest entries of each row, ties to the smaller column."""
    kept = sparse.csr_matrix(matrix, copy=True)
    kept.sort_indices()
    for row in np.flatnonzero(np.diff(kept.indptr) > most):
        values = kept.data[kept.indptr[row] : kept.indptr[row + 1]]  # a view
        values[np.argsort(-values, kind="stable")[most:]] = 0
    kept.eliminate_zeros()
    return kept
