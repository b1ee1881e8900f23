"""How near the ends of an edge are: the proximities by which edges are matched and contracted.

heavy-edge: Dhillon, Guan, Kulis (PAMI 2007), section 5.1. algebraic distance by Jacobi relaxation: Ron, Safro, Brandt
(Multiscale Model. Simul. 2011), section 2. affinity by Gauss-Seidel relaxation: Livne, Brandt (SIAM J. Sci. Comput.
2012), section 3.4.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from worker.numerics.compiled import WARM_UPS, compiled, while_waiting

VECTORS, SWEEPS, RELAXATION = 10, 5, 0.5
Proximity = Callable[[sparse.csr_array, np.ndarray, np.random.Generator, Callable[[], None]], np.ndarray]
"""`(adjacency (N, N), ends (m, 2) of its edges, rng, tick) -> proximity (m,)`, float64."""


def heavy_edge(
    adjacency: sparse.csr_array, ends: np.ndarray, rng: np.random.Generator, tick: Callable[[], None]
) -> np.ndarray:
    """w_uv over the largest weight at either end: 1 where the edge is the heaviest of both."""
    heaviest = adjacency.max(axis=1).toarray().ravel()
    weight = np.asarray(adjacency[ends[:, 0], ends[:, 1]]).ravel()
    return weight / np.maximum(heaviest[ends[:, 0]], heaviest[ends[:, 1]])


def algebraic_jc(
    adjacency: sparse.csr_array, ends: np.ndarray, rng: np.random.Generator, tick: Callable[[], None]
) -> np.ndarray:
    """min over ten random vectors of 1 / max(|x_u - x_v|^2, 1e-6), after five half-weighted Jacobi sweeps on L x =
    0."""
    strength = np.asarray(adjacency.sum(axis=1))[:, None]
    x = rng.standard_normal((adjacency.shape[0], VECTORS))
    for _ in range(SWEEPS):
        tick()
        mean = np.divide(adjacency @ x, strength, out=x.copy(), where=strength > 0)
        x = (1 - RELAXATION) * x + RELAXATION * mean
    return (1 / np.maximum((x[ends[:, 0]] - x[ends[:, 1]]) ** 2, 1e-6)).min(axis=1)


def affinity_gs(
    adjacency: sparse.csr_array, ends: np.ndarray, rng: np.random.Generator, tick: Callable[[], None]
) -> np.ndarray:
    """(x_u . x_v)^2 / (|x_u|^2 |x_v|^2) of ten random vectors after one Gauss-Seidel sweep on L x = 0."""
    x = rng.standard_normal((adjacency.shape[0], VECTORS))
    arrays = adjacency.indptr.astype(np.int64), adjacency.indices.astype(np.int64), adjacency.data.astype(np.float64)
    while_waiting(lambda: _gauss_seidel(*arrays, x), tick)
    one, two = x[ends[:, 0]], x[ends[:, 1]]
    along = np.einsum("ij,ij->i", one, two) ** 2
    return along / np.maximum(np.einsum("ij,ij->i", one, one) * np.einsum("ij,ij->i", two, two), 1e-300)


@compiled
def _gauss_seidel(begin, neighbour, weight, x):
    """Set each row of x to the weighted mean of its neighbours' rows, one after another, in place."""
    mean = np.empty(x.shape[1])
    for node in range(len(x)):
        total = 0.0
        mean[:] = 0.0
        for place in range(begin[node], begin[node + 1]):
            total += weight[place]
            for k in range(x.shape[1]):
                mean[k] += weight[place] * x[neighbour[place], k]
        if total > 0:
            for k in range(x.shape[1]):
                x[node, k] = mean[k] / total


def _compile() -> None:
    adjacency = sparse.csr_array(np.ones((3, 3)) - np.eye(3))
    affinity_gs(adjacency, np.array([[0, 1]]), np.random.default_rng(0), lambda: None)


WARM_UPS.append(_compile)
