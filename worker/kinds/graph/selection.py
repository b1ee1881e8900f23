"""Choosing real train nodes: an order of the nodes of each class, and what is delivered of those chosen.

What is delivered is either raw features with the edges between the chosen nodes, or propagated features without edges
("agg" in GC4NC), which keeps what their neighbourhoods say and is better for few nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from worker.contract.context import Context
from worker.contract.method import Cost, Term
from worker.kinds.graph.allocation import allocate
from worker.kinds.graph.budget import SizeParams, nodes_asked
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import dense, rows_of
from worker.kinds.graph.making import condensed, ticks
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.summary import CondensedGraph

HOPS = 2
SELECT_COST = Cost(
    seconds=(Term(0.1), Term(4e-9, {"edges": 1, "features": 1}), Term(2e-8, {"train_nodes": 1, "features": 1})),
    memory_mb=(Term(300.0), Term(1.2e-5, {"train_nodes": 1, "features": 1}), Term(1e-4, {"edges": 1})),
)
Choose = Callable[[int, np.ndarray, int], np.ndarray]
"""`(class, its train nodes, how many)` -> the chosen nodes, in the order in which they were chosen."""


class SelectParams(SizeParams):
    """The size of a selection of train nodes, and what is delivered of them."""

    output_features: Literal["propagated", "raw"] = Field(
        "propagated", description="Deliver the propagated features of the chosen nodes, or those they have."
    )
    output_structure: Literal["auto", "identity", "induced"] = Field(
        "auto",
        description="No edges (identity), or those between the chosen nodes; auto: none beside propagated features.",
    )
    hops: int = Field(HOPS, ge=1, le=5, description="Steps of propagation.")

    @property
    def induced(self) -> bool:
        """Whether edges are delivered."""
        if self.output_structure == "auto":
            return self.output_features == "raw"
        return self.output_structure == "induced"


class SpaceParams(SelectParams):
    """Of a selection that measures distances, in what space it does."""

    space: Literal["propagated", "features", "model"] = Field(
        "propagated",
        description="Distances between propagated features, the features themselves, or the hidden layer of a GCN "
        "trained on the whole graph.",
    )


def by_score(score: np.ndarray) -> Choose:
    """The nodes of the highest scores (N,), equal ones by number."""
    return lambda c, nodes, n: nodes[np.argsort(-score[nodes], kind="stable")[:n]]


def in_space(
    seen: Graph,
    params: SpaceParams,
    pick: Callable[[np.ndarray, int, Callable[[], None]], np.ndarray],
    ctx: Context,
    tick: Callable[[], None],
) -> Choose:
    """A choice by rows of a space. `pick(rows, n, tick)` -> numbers of n rows."""
    rows = embedded(seen, params, ctx, tick)
    place = np.full(seen.n, -1, np.int64)
    place[seen.train] = np.arange(len(seen.train))
    return lambda c, nodes, n: nodes[pick(rows[place[nodes]], n, tick)]


def embedded(seen: Graph, params: SpaceParams, ctx: Context, tick: Callable[[], None]) -> np.ndarray:
    """The train nodes in the space, float32 (m, k)."""
    if params.space == "features":
        return dense(rows_of(seen.x, seen.train))
    if params.space == "propagated":
        return propagated(seen.operator, seen.x, params.hops, seen.train, tick)
    from worker.kinds.graph.networks.hidden import hidden_layer  # needs torch, which the other spaces do not

    return hidden_layer(seen, ctx)


def bytes_per_node(graph: Graph, *, filled: bool) -> float:
    """What a node takes as plain arrays: dense features, or those it has where they are sparse."""
    if filled or not sparse.issparse(graph.x):
        return 4.0 * graph.d + 9
    return 8.0 * graph.x.nnz / max(1, graph.n) + 13


def chosen_nodes(graph: Graph, n: int, choose: Choose) -> np.ndarray:
    """Numbers of n train nodes of a visible graph, grouped by class, in the order of choice within one."""
    counts = allocate(graph.train_counts, n)
    parts = [choose(c, graph.train[graph.y[graph.train] == c], int(counts[c])) for c in range(graph.n_classes)]
    return np.concatenate(parts).astype(np.int64)


def selected(
    graph: Graph,
    params: SelectParams,
    method: str,
    ctx: Context,
    order: Callable[[Graph, Callable[[], None]], Choose],
) -> CondensedGraph:
    """The selection of a method. `order(visible graph, tick)` says how nodes of a class are chosen."""
    n = nodes_asked(graph, params, bytes_per_node=bytes_per_node(graph, filled=params.output_features == "propagated"))
    seen, tick = graph.visible(), ticks(ctx, "select")
    tick()
    nodes = chosen_nodes(seen, n, order(seen, tick))
    tick()
    return of_nodes(graph, seen, nodes, params, method, ctx)


def of_nodes(
    graph: Graph, seen: Graph, nodes: np.ndarray, params: SelectParams, method: str, ctx: Context
) -> CondensedGraph:
    """The condensed graph of chosen nodes of a visible graph."""
    settings: dict[str, Any] = params.model_dump()
    x = rows_of(seen.x, nodes)
    if params.output_features == "propagated":
        x = propagated(seen.operator, seen.x, params.hops, nodes, lambda: ctx.progress(99, 100, phase="propagate"))
    adjacency = sparse.csr_array(seen.adjacency[nodes][:, nodes]) if params.induced else None
    source = nodes if graph.setting == "transductive" else graph.train[nodes]
    return condensed(graph, x, seen.y[nodes], method, settings, ctx, adjacency=adjacency, source=source)
