"""Edges to the hubs of each neighbourhood (Lindner, Staudt, Hamann, Meyerhenke, Wagner: Structure-preserving
sparsification of social networks, ASONAM 2015, section III.D)."""

from __future__ import annotations

import numpy as np

from worker.kinds.graph.sparsification.edges import Edges


def local_exponents(edges: Edges) -> np.ndarray:
    """The least exponent a at which each edge is kept (m,), float64 in [0, 1]; small ones are kept first.

    A node of degree d keeps its floor(d^a) neighbours of highest degree (ties: the lower number). The r-th of them is
    kept from a = log r / log d on, and an edge when either end keeps it, so the exponent of any number of edges is
    found without searching for it.
    """
    indptr, neighbour, edge = edges.incident
    node = np.repeat(np.arange(edges.nodes), np.diff(indptr))
    order = np.lexsort((neighbour, -edges.degree[neighbour], node))
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order)) - indptr[node[order]] + 1
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.where(rank == 1, 0.0, np.log(rank) / np.log(edges.degree[node]))
    exponent = np.ones(len(edges))
    np.minimum.at(exponent, edge, least)
    return exponent
