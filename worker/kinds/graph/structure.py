"""What a graph is like as a graph, before and after some of its edges are gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from worker.evidence.table import Column, Table
from worker.kinds.graph.sparsification.edges import Edges
from worker.kinds.graph.sparsification.similarity import common_neighbours

SLOW = 10  # vectors behind the spectral error
MOST_NODES = 200_000  # above these the spectral error is not computed


def properties(adjacency: sparse.csr_array) -> dict[str, float | None]:
    """Edges, components, nodes of the largest, isolated nodes, quantiles of the degree, mean clustering coefficient
    (nodes of degree below 2 count as 0) and transitivity of an adjacency (N, N)."""
    edges = Edges.of(adjacency)
    component = sparse.csgraph.connected_components(adjacency, directed=False)[1]
    degree = edges.degree
    paths = degree * (degree - 1) / 2
    triangles = np.zeros(edges.nodes)
    if len(edges):
        common = common_neighbours(edges)
        triangles = (np.bincount(edges.u, common, edges.nodes) + np.bincount(edges.v, common, edges.nodes)) / 2
    local = np.divide(triangles, paths, out=np.zeros(edges.nodes), where=paths > 0)
    return {
        "edges": float(len(edges)),
        "components": float(component.max(initial=-1) + 1),
        "largest_component": float(np.bincount(component).max(initial=0)),
        "isolated": float((degree == 0).sum()),
        "degree_median": float(np.median(degree)) if edges.nodes else 0.0,
        "degree_p90": float(np.quantile(degree, 0.9)) if edges.nodes else 0.0,
        "degree_max": float(degree.max(initial=0)),
        "clustering": float(local.mean()) if edges.nodes else 0.0,
        "transitivity": float(triangles.sum() / paths.sum()) if paths.sum() else 0.0,
    }


def degree_distance(before: sparse.csr_array, after: sparse.csr_array) -> float:
    """The largest difference between the distributions of degree over its mean (Kolmogorov-Smirnov), in [0, 1]."""
    one, two = (Edges.of(graph).degree for graph in (before, after))
    one, two = one / max(one.mean(), 1e-12), two / max(two.mean(), 1e-12)
    places = np.concatenate([one, two])
    shares = [np.searchsorted(np.sort(some), places, side="right") / len(some) for some in (one, two)]
    return float(np.abs(shares[0] - shares[1]).max())


def spectral_error(before: sparse.csr_array, after: sparse.csr_array) -> float | None:
    """max over the ten slowest vectors f of |R'(f) / R(f) - 1|, R(f) = f^T L f / f^T D f, R' the same on the graph
    after.

    Slow vectors are those of the normalised Laplacian of the largest component before. The quotient is blind to a
    common factor of the weights, as networks that normalise are. None for graphs of few or of very many nodes.
    """
    component = sparse.csgraph.connected_components(before, directed=False)[1]
    nodes = np.flatnonzero(component == np.bincount(component).argmax())
    if not SLOW + 2 < len(nodes) <= MOST_NODES:
        return None
    old, new = (sparse.csr_array(graph[nodes][:, nodes], dtype=np.float64) for graph in (before, after))
    strength = np.asarray(old.sum(axis=1)).ravel()
    root = sparse.diags_array(strength**-0.5)
    start = np.random.default_rng(0).standard_normal(len(nodes))
    values, vectors = sparse.linalg.eigsh(root @ old @ root, k=SLOW + 1, which="LA", v0=start, tol=1e-6)
    slow = (root @ vectors)[:, np.argsort(-values)[1:]]
    return float(np.abs(_quotient(new, slow) / np.maximum(_quotient(old, slow), 1e-12) - 1).max())


def _quotient(adjacency: sparse.csr_array, vectors: np.ndarray) -> np.ndarray:
    strength = np.asarray(adjacency.sum(axis=1)).ravel()
    within = np.einsum("nk,n,nk->k", vectors, strength, vectors)
    along = within - np.einsum("nk,nk->k", vectors, adjacency @ vectors)
    return along / np.maximum(within, 1e-300)


def table(before: sparse.csr_array, graphs: Sequence[tuple[str, sparse.csr_array, bool]]) -> Table:
    """Properties of the original graph and of others. `graphs`: (label, adjacency, whether it has the same nodes)."""
    rows: list[dict[str, Any]] = [{"graph": "the original", **properties(before)}]
    for label, after, same in graphs:
        row: dict[str, Any] = {"graph": label, **properties(after)}
        row["degree_distance"] = degree_distance(before, after)
        row["spectral_error"] = spectral_error(before, after) if same else None
        rows.append(row)
    return Table(
        "properties",
        "The graph before and after. Clustering is the mean over nodes of the share of their pairs of neighbours that "
        "are joined, transitivity the share over all pairs; the degree distance is that of Kolmogorov and Smirnov "
        "between degrees over their mean; the spectral error is the largest relative change of the Rayleigh quotients "
        f"of the {SLOW} slowest vectors of the largest component, for graphs of the same nodes.",
        (
            Column("graph", "Graph", "text"),
            Column("edges", "Edges", decimals=0),
            Column("components", "Components", decimals=0),
            Column("largest_component", "Nodes of the largest", decimals=0),
            Column("isolated", "Isolated nodes", decimals=0),
            Column("degree_median", "Median degree", decimals=0),
            Column("degree_p90", "90 % have at most", decimals=0),
            Column("degree_max", "Largest degree", decimals=0),
            Column("clustering", "Clustering", decimals=3),
            Column("transitivity", "Transitivity", decimals=3),
            Column("degree_distance", "Degree distance", decimals=3),
            Column("spectral_error", "Spectral error", decimals=3),
        ),
        tuple(rows),
        heading="The graph as a graph",
    )
