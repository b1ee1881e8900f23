"""Effective resistances of edges, and unbiased samples of edges by them.

Spielman and Srivastava: Graph sparsification by effective resistances (SIAM J. Comput. 2011), sections 2 and 4.
Departures. Their edges are drawn with replacement, so the number of distinct ones is left to chance; here each edge is
in the sample with probability min(1, c w R), c such that exactly as many are kept as were asked for (systematic
sampling in random order), at weight w / probability: still E[L'] = L, and no edge is spent twice. Their number of edges
for a guaranteed error, 9 n log n / eps^2, is above that of most real graphs: the error is measured instead.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from worker.kinds.graph.laplacian import solve_laplacian
from worker.kinds.graph.sparsification.edges import Edges

EXACT_NODES = 1000  # up to these the pseudo-inverse is taken
BLOCK = 32  # projections that are solved for together
TOLERANCE = 1e-4


def resistances(
    edges: Edges, projections: int, rng: np.random.Generator, tick: Callable[[], None] = lambda: None
) -> np.ndarray:
    """R of every edge (m,), float64: exact up to 1,000 nodes, else by random projections (relative error about
    sqrt(2 / projections)), held within what every graph obeys: (1/d_u + 1/d_v)/2 <= R <= 1/w (d: sums of weights).
    """
    if edges.nodes <= EXACT_NODES:
        return exact_resistances(edges)
    strength = np.asarray(edges.adjacency().sum(axis=1)).astype(np.float64)
    least = (1 / strength[edges.u] + 1 / strength[edges.v]) / 2
    return np.clip(projected_resistances(edges, projections, rng, tick), least, 1 / edges.weight)


def exact_resistances(edges: Edges) -> np.ndarray:
    """R_uv = (e_u - e_v)^T L^+ (e_u - e_v) of every edge (m,). Dense: for small graphs alone."""
    inverse = np.linalg.pinv(edges.laplacian().toarray(), hermitian=True)
    own = np.diag(inverse)
    return own[edges.u] + own[edges.v] - 2 * inverse[edges.u, edges.v]


def projected_resistances(
    edges: Edges, projections: int, rng: np.random.Generator, tick: Callable[[], None] = lambda: None
) -> np.ndarray:
    """Unbiased estimates of R (m,): |Z (e_u - e_v)|^2 with Z = Q W^1/2 B L^+, Q random signs over sqrt(projections)."""
    laplacian = edges.laplacian()
    root = np.sqrt(edges.weight)
    estimate = np.zeros(len(edges))
    for start in range(0, projections, BLOCK):
        columns = min(BLOCK, projections - start)
        signs = rng.integers(0, 2, (len(edges), columns), dtype=np.int8) * 2.0 - 1.0
        signs *= root[:, None]
        right = _scatter(edges, signs)
        solved = solve_laplacian(laplacian, right, TOLERANCE, tick)
        estimate += ((solved[edges.u] - solved[edges.v]) ** 2).sum(axis=1)
    return estimate / projections


def inclusion_probabilities(mass: np.ndarray, count: int) -> np.ndarray:
    """min(1, c mass) (m,) with c such that they sum to `count` <= m. `mass`: positive (m,)."""
    order = np.argsort(-mass)
    tail = np.concatenate([np.cumsum(mass[order][::-1])[::-1], [0.0]])
    sure = np.arange(count + 1)
    # with the `sure` largest certain, the largest of the rest stays below one: the first such number is the right one
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = (count - sure) / tail[: count + 1]
    fits = np.append(mass[order], 0.0)[: count + 1] * factor <= 1
    number = int(np.argmax(fits | (sure == count)))
    probability = np.ones(len(mass))
    if number < count:
        probability[order[number:]] = np.minimum(1.0, factor[number] * mass[order[number:]])
    else:
        probability[order[number:]] = 0.0
    return probability


def systematic_sample(probability: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mask (m,) of a sample in which each has its `probability`, and whose size is their sum, a whole number."""
    mask = probability >= 1
    rest = rng.permutation(np.flatnonzero(~mask))
    reached = np.cumsum(probability[rest])
    total = round(float(reached[-1])) if len(rest) else 0
    if total:
        marks = (np.arange(total) + rng.random()) * (reached[-1] / total)
        mask[rest[np.searchsorted(reached, marks, side="left")]] = True
    return mask


def resistance_sample(edges: Edges, resistance: np.ndarray, count: int, rng: np.random.Generator) -> Edges:
    """`count` edges with weights such that the expected Laplacian is the graph's, whatever the estimates of R (m,)."""
    probability = inclusion_probabilities(edges.weight * resistance, count)
    return edges.keep(systematic_sample(probability, rng), edges.weight / np.maximum(probability, 1e-300))


def _scatter(edges: Edges, values: np.ndarray) -> np.ndarray:
    """B^T values: each edge's row (m, k) added at u and taken off at v; (N, k)."""
    number = np.arange(len(edges))
    ones = np.ones(len(edges))
    shape = edges.nodes, len(edges)
    incidence = sparse.csr_array((ones, (edges.u, number)), shape) - sparse.csr_array((ones, (edges.v, number)), shape)
    return incidence @ values
