"""The Laplacian L = D - W of a graph: solving with it, and its smallest eigenvalues, without anything dense N x N."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

MOST_STEPS = 2000
DENSE_NODES = 200  # up to these all eigenvectors are taken
INNER_TOLERANCE = 1e-7
TOLERANCE = 1e-5


def laplacian_of(adjacency: sparse.csr_array) -> sparse.csr_array:
    """D - W (N, N), float64; the diagonal of W is left out."""
    weights = sparse.csr_array(adjacency, dtype=np.float64)
    weights = sparse.csr_array(weights - sparse.diags_array(weights.diagonal()))
    return sparse.csr_array(sparse.diags_array(weights.sum(axis=1)) - weights)


def solve_laplacian(
    laplacian: sparse.csr_array, right: np.ndarray, tolerance: float, tick: Callable[[], None] = lambda: None
) -> np.ndarray:
    """X (N, k) with L X = `right` (N, k) by conjugate gradients with Jacobi's preconditioner, all columns at once.

    Columns of `right` must sum to 0 over every component; X is known up to a constant in each. Ends when the residual
    of every column is `tolerance` of its right side, or after 2,000 steps.
    """
    scale = laplacian.diagonal()
    scale = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)[:, None]
    solved = np.zeros_like(right)
    residual = right.copy()
    enough = tolerance**2 * np.einsum("ij,ij->j", right, right)
    direction = scale * residual
    size = np.einsum("ij,ij->j", residual, direction)
    for _ in range(MOST_STEPS):
        pushed = laplacian @ direction
        along = np.einsum("ij,ij->j", direction, pushed)
        step = np.divide(size, along, out=np.zeros_like(size), where=along > 0)
        solved += step * direction
        residual -= step * pushed
        tick()
        if (np.einsum("ij,ij->j", residual, residual) <= enough).all():
            break
        ahead = scale * residual
        before, size = size, np.einsum("ij,ij->j", residual, ahead)
        direction = ahead + np.divide(size, before, out=np.zeros_like(size), where=before > 0) * direction
    return solved


def smallest_eigenpairs(
    laplacian: sparse.csr_array, count: int, rng: np.random.Generator, tick: Callable[[], None] = lambda: None
) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (k,) rising and eigenvectors (N, k) of a connected graph's Laplacian, the constant one left out.

    k = min(count, N - 1). Up to 200 nodes all are computed; beyond, Lanczos on the inverse, each product of which is a
    solution by conjugate gradients.
    """
    n = laplacian.shape[0]
    count = min(count, n - 1)
    if n <= DENSE_NODES:
        values, vectors = np.linalg.eigh(laplacian.toarray())
        return values[1 : count + 1], vectors[:, 1 : count + 1]

    def inverse(right: np.ndarray) -> np.ndarray:
        centred = right.reshape(n, 1) - right.mean()
        solved = solve_laplacian(laplacian, centred, INNER_TOLERANCE, tick)
        return (solved - solved.mean()).ravel()

    start = rng.standard_normal(n)
    operator = sparse.linalg.LinearOperator((n, n), matvec=inverse, dtype=np.float64)
    values, vectors = sparse.linalg.eigsh(
        laplacian, k=count, sigma=0.0, which="LM", OPinv=operator, v0=start - start.mean(), tol=TOLERANCE
    )
    order = np.argsort(values)
    return values[order], vectors[:, order]
