"""vng: virtual nodes that a GCN trained on the whole graph cannot tell from the train nodes (Si et al., ICLR 2023).

The hidden layer of a GCN at the train nodes is clustered; a virtual node has the mean features of its cluster, each
node weighted by its degree, and edges with which the network's next layer comes out the same.

Departures from the code of GraphSlim. Clusters keep to a class, in the share of its train nodes (theirs cluster all
train nodes together and take the most frequent label), and k-means weighs all nodes alike (theirs by degree). The
published edges serve a trained network: they are asymmetric and may be negative, so that no network can be trained with
them as they are; with `output_structure=merged` they are made symmetric and what is negative is left out. By default
propagated features are delivered without edges, which is better for few nodes. Singular values below 1e-6 of the
largest are left out instead of being inverted. It trains on the whole graph, so it saves nothing to who trains one
model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pydantic import Field
from scipy import sparse

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.graph.allocation import allocate
from worker.kinds.graph.budget import nodes_asked
from worker.kinds.graph.clustering.kmeans import best_of
from worker.kinds.graph.coarsening.virtual_nodes import as_adjacency, virtual_edges, weighted_means
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import rows_of
from worker.kinds.graph.making import condensed, ticks
from worker.kinds.graph.merging import MergedParams
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.selection import bytes_per_node
from worker.kinds.graph.summary import CondensedGraph


class VngParams(MergedParams):
    """Parameters of `vng`."""

    epochs: int = Field(200, ge=1, le=5000, description="Epochs of the GCN.")
    restarts: int = Field(10, ge=1, le=100, description="Runs of k-means, of which the best is kept.")


COST = Cost(
    seconds=(Term(1.5), Term(1.5e-3, {"nodes": 1}), Term(4e-9, {"edges": 1, "features": 1})),
    memory_mb=(Term(500.0), Term(2e-2, {"nodes": 1})),
)


@method(kind="graph", task="distil", name="vng", version=1, device="any", memory_mb=2048, cost=COST)
def vng(data: Graph, params: VngParams, ctx: Context) -> CondensedGraph:
    """Virtual nodes that a GCN trained on the whole graph cannot tell from real ones."""
    from worker.kinds.graph.networks.hidden import hidden_layer  # torch, which nothing else here needs

    n = nodes_asked(data, params, bytes_per_node=bytes_per_node(data, filled=True))
    seen, tick = data.visible(), ticks(ctx, "merge")
    hidden = hidden_layer(seen, ctx, params.epochs)
    adjacency = sparse.csr_array(seen.adjacency[seen.train][:, seen.train])
    weight = np.maximum(np.asarray(adjacency.sum(axis=1)).ravel(), 1.0)
    cluster, y = _clustered(hidden, seen, n, ctx.rng, params.restarts, tick)
    means = weighted_means(cluster, weight, n)
    if params.output_features == "propagated":
        x = propagated(seen.operator, seen.x, params.hops, seen.train, tick)
    else:
        x = rows_of(seen.x, seen.train)
    made = means @ x
    made = (made.toarray() if sparse.issparse(made) else made).astype(np.float32)
    edges = as_adjacency(virtual_edges(means, adjacency, hidden)) if params.merged else None
    settings: dict[str, Any] = params.model_dump()
    return condensed(data, made, y, "vng", settings, ctx, adjacency=edges, optimised_for="gcn")


def _clustered(
    hidden: np.ndarray, seen: Graph, n: int, rng: np.random.Generator, restarts: int, tick: Callable[[], None]
) -> tuple[np.ndarray, np.ndarray]:
    """The cluster of every train node (m,), and the class of every cluster (n,), grouped by class."""
    counts = allocate(seen.train_counts, n)
    label = seen.y[seen.train]
    cluster = np.empty(len(label), np.int64)
    for c, k in enumerate(counts.tolist()):
        rows = label == c
        run = best_of(hidden[rows], k, rng, restarts=restarts, tick=tick)
        cluster[rows] = run.assignment + int(counts[:c].sum())
    return cluster, np.repeat(np.arange(len(counts)), counts)
