"""What all coarsenings share: how far nodes are merged, and what is delivered of the clusters.

A cluster carries the class of its train nodes; one without any has no label. By default the clusters with a class are
counted and delivered, as in published code, which guesses the rate that leads to the number asked for; here merging
ends exactly there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Term
from worker.kinds.graph.budget import FORMS, SizeParams, nodes_asked
from worker.kinds.graph.coarsening.contraction import Count
from worker.kinds.graph.coarsening.levels import Scheme, coarsen
from worker.kinds.graph.coarsening.partition import Partition
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import Features
from worker.kinds.graph.making import condensed, ticks
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.selection import HOPS, bytes_per_node
from worker.kinds.graph.summary import CondensedGraph


class MergedParams(SizeParams):
    """The size of a merged graph, and what is delivered of its clusters."""

    output_features: Literal["propagated", "raw"] = Field(
        "propagated", description="Means over clusters of the propagated features, or of those that nodes have."
    )
    output_structure: Literal["auto", "identity", "merged"] = Field(
        "auto",
        description="No edges (identity), or the sums of the edges between clusters; auto: no edges beside propagated "
        "features.",
    )
    hops: int = Field(HOPS, ge=1, le=5, description="Steps of propagation.")

    @property
    def merged(self) -> bool:
        """Whether edges are delivered."""
        if self.output_structure == "auto":
            return self.output_features == "raw"
        return self.output_structure == "merged"


class CoarseningParams(MergedParams):
    """Parameters of a coarsening."""

    nodes: Literal["labelled", "all"] = Field(
        "labelled", description="Count and deliver the clusters with a class, or all of them."
    )
    levels: int = Field(30, ge=1, le=100, description="Levels at most; on each, every node is merged once.")


class VariationParams(CoarseningParams):
    """Parameters of local variation."""

    eigenvectors: int = Field(10, ge=1, le=50, description="Slow vectors of the graph that merging must not disturb.")


# Measured on Cora and PubMed.
COST = Cost(
    seconds=(Term(0.7), Term(2e-5, {"edges": 1}), Term(8e-9, {"edges": 1, "features": 1})),
    memory_mb=(Term(350.0), Term(1e-3, {"edges": 1}), Term(8e-6, {"nodes": 1, "features": 1})),
)


def coarsened(
    data: Graph, params: CoarseningParams, method: str, ctx: Context, scheme: Callable[[], Scheme]
) -> CondensedGraph:
    """The graph of the clusters that a scheme makes."""
    labelled = params.nodes == "labelled"
    seen, tick = data.visible(), ticks(ctx, "merge")
    n = nodes_asked(
        data, params, bytes_per_node=bytes_per_node(data, filled=True), most=None if labelled else seen.n - 1
    )
    tick()
    clusters, reached = coarsen(seen.adjacency, seen.y, scheme(), Count(n, labelled), params.levels, ctx.rng, tick)
    if reached > n:
        field = next(name for name in FORMS if getattr(params, name) is not None)
        raise JobError(
            "budget_too_small",
            f"Merging neighbours ends at {reached} nodes, not at {n}: what is left has no edge or would lose a class.",
            hint=f"Ask for n_nodes={reached} or more, raise levels, or take k-means-prop, which needs no edges.",
            pointer=f"/params/{field}",
        )
    label = clusters.labels(seen.y)
    kept = label >= 0 if labelled else np.ones(clusters.n, np.bool_)
    settings = {"clusters": clusters.n, "largest_cluster": int(clusters.sizes.max())}
    lost = int(np.isin(clusters.cluster, np.flatnonzero(label == -2))[seen.train].sum())
    if lost:
        ctx.warn(f"{lost} train nodes lie in clusters of several classes, which carry no label.")
    return delivered(data, seen, clusters, np.where(label >= 0, label, -1), kept, params, method, settings, ctx)


def delivered(
    data: Graph,
    seen: Graph,
    clusters: Partition,
    label: np.ndarray,
    kept: np.ndarray,
    params: MergedParams,
    method: str,
    settings: dict[str, Any],
    ctx: Context,
) -> CondensedGraph:
    """The kept clusters (mask (n,)) of a visible graph with their labels (n,), grouped by class, unlabelled ones
    last."""
    order = np.flatnonzero(kept)
    order = order[np.argsort(np.where(label[order] < 0, data.n_classes, label[order]), kind="stable")]
    x: Features = seen.x
    if params.output_features == "propagated":
        x = propagated(seen.operator, seen.x, params.hops, tick=ticks(ctx, "merge"))
    means = clusters.averages(x)[order].astype(np.float32)
    adjacency = None
    if params.merged:
        adjacency = sparse.csr_array(clusters.coarse(seen.adjacency)[order][:, order], dtype=np.float32)
    sees = "all" if data.setting == "transductive" else "train"
    known: dict[str, Any] = params.model_dump() | settings
    return condensed(data, means, label[order], method, known, ctx, adjacency=adjacency, sees=sees)
