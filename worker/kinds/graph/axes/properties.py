"""Properties of the original graph and of the condensed one, beside each other.

Those of GC4NC but one: the trace of features along the top eigenvector of the Laplacian is not computed.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import eigsh
from sklearn.metrics import davies_bouldin_score

from worker.evidence.table import Column, Table
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import Features, dense
from worker.kinds.graph.propagation import normalised, propagated
from worker.kinds.graph.summary import CondensedGraph

_MOST = 5000  # nodes whose separation is measured


def of(x: Features, adjacency: sparse.csr_array | None, y: np.ndarray, seed: int = 0) -> dict[str, float | None]:
    """Nodes, edges, density (%), largest eigenvalue of the Laplacian D - A, homophily (share of edges within a class,
    unweighted) and Davies-Bouldin indices of the features and of the features propagated twice; None where undefined.

    `y`: classes (n,), -1 unknown.
    """
    n = len(y)
    there = None if adjacency is None or not adjacency.nnz else adjacency
    edges = 0 if there is None else there.nnz // 2
    found: dict[str, float | None] = {
        "nodes": n,
        "edges": edges,
        "density": 200.0 * edges / max(1, n * (n - 1)),
        "eigenvalue": None if there is None else _largest(there),
        "homophily": None,
        "separation": _davies_bouldin(x, y, seed),
        "propagated": None,
    }
    if there is not None:
        pairs = there.tocoo()
        known = (y[pairs.row] >= 0) & (y[pairs.col] >= 0)
        if known.any():
            found["homophily"] = float((y[pairs.row[known]] == y[pairs.col[known]]).mean())
        rows = _sampled(y, seed)
        found["propagated"] = _davies_bouldin(propagated(normalised(there), x, 2, rows), y[rows], seed)
    return found


def _largest(adjacency: sparse.csr_array) -> float:
    n = adjacency.shape[0]
    degree = np.asarray(adjacency.sum(axis=1, dtype=np.float64)).ravel()
    laplacian = sparse.diags_array(degree) - adjacency.astype(np.float64)
    if n < 50:
        return float(np.linalg.eigvalsh(laplacian.toarray())[-1])
    return float(
        eigsh(sparse.csr_array(laplacian), k=1, which="LA", v0=degree + 1, return_eigenvectors=False, tol=1e-4)[0]
    )


def _sampled(y: np.ndarray, seed: int) -> np.ndarray:
    known = np.flatnonzero(y >= 0)
    return (
        known if len(known) <= _MOST else np.sort(np.random.default_rng([seed, 41]).choice(known, _MOST, replace=False))
    )


def _davies_bouldin(x: Features, y: np.ndarray, seed: int) -> float | None:
    rows = _sampled(y, seed)
    classes = np.unique(y[rows])
    if len(classes) < 2 or len(classes) >= len(rows):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(davies_bouldin_score(dense(x[rows]), y[rows]))
    return value if np.isfinite(value) else None


def table(data: Graph, summary: CondensedGraph, seed: int) -> Table:
    """Both in one table."""
    names = {
        "nodes": "nodes", "edges": "edges", "density": "density (%)", "eigenvalue": "largest Laplacian eigenvalue",
        "homophily": "edge homophily", "separation": "Davies-Bouldin index of features",
        "propagated": "Davies-Bouldin index of features propagated twice",
    }  # fmt: skip
    whole, made = of(data.x, data.adjacency, data.y, seed), of(summary.x, summary.adjacency, summary.y, seed)
    rows = tuple({"property": label, "original": whole[key], "condensed": made[key]} for key, label in names.items())
    return Table(
        "properties",
        "Properties of the original and of the condensed graph",
        (
            Column("property", "Property", "text"),
            Column("original", "Original", decimals=3),
            Column("condensed", "Condensed", decimals=3),
        ),
        rows,
        note="A condensed graph without edges has no homophily and no eigenvalue. The Davies-Bouldin index is lower "
        "where classes lie further apart.",
        heading="Graph properties",
    )
