"""Virtual nodes that a trained network cannot tell from the nodes they stand for (VNG).

Si, Yang, Zhang, Pan: Serving graph compression for graph neural networks (ICLR 2023), section 3. With H (m, k) the
hidden layers of the network at the train nodes, E (n, m) the degree-weighted means over clusters and P = E H, the edges
A_v of the virtual nodes are such that A_v P is nearest to E A H.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

SMALLEST = 1e-6  # singular values of P below this share of the largest carry nothing but rounding


def weighted_means(cluster: np.ndarray, weight: np.ndarray, clusters: int) -> sparse.csr_array:
    """E (n, m), float64: row c averages the nodes of cluster c by weight. `cluster` (m,), `weight` (m,) positive."""
    total = np.bincount(cluster, weights=weight, minlength=clusters)
    return sparse.csr_array((weight / total[cluster], (cluster, np.arange(len(cluster)))), (clusters, len(cluster)))


def virtual_edges(means: sparse.csr_array, adjacency: sparse.csr_array, hidden: np.ndarray) -> np.ndarray:
    """A_v (n, n), float64: the least-squares solution of A_v (E H) = E A H of least norm. Dense, of any sign."""
    inner = means @ hidden
    left, values, right = np.linalg.svd(inner, full_matrices=False)
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=values > SMALLEST * values.max(initial=0.0))
    return (means @ (adjacency @ hidden)) @ (right.T * inverse) @ left.T


def as_adjacency(edges: np.ndarray) -> sparse.csr_array:
    """The nearest symmetric matrix without loops or negative weights, float32 CSR: what networks can be trained on."""
    symmetric = np.maximum((edges + edges.T) / 2, 0)
    np.fill_diagonal(symmetric, 0)
    found = sparse.csr_array(symmetric.astype(np.float32))
    found.eliminate_zeros()
    return found
