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
from worker.kinds.graph.allocation import allocate
from worker.kinds.graph.budget import SizeParams, nodes_asked
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import rows_of
from worker.kinds.graph.making import condensed
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.summary import CondensedGraph

HOPS = 2
Choose = Callable[[int, np.ndarray, int], np.ndarray]
"""`(class, its train nodes, how many)` -> the chosen nodes, in the order in which they were chosen."""


class SelectParams(SizeParams):
    """The size of a selection of train nodes, and what is delivered of them."""

    output_features: Literal["propagated", "raw"] = Field(
        "propagated", description="Deliver the propagated features of the chosen nodes, or those they have."
    )
    output_structure: Literal["auto", "identity", "induced"] = Field(
        "auto",
        description="No edges (identity), or those between the chosen nodes; auto: no edges beside propagated features.",
    )
    hops: int = Field(HOPS, ge=1, le=5, description="Steps of propagation.")

    @property
    def induced(self) -> bool:
        """Whether edges are delivered."""
        if self.output_structure == "auto":
            return self.output_features == "raw"
        return self.output_structure == "induced"


def bytes_per_node(graph: Graph, *, dense: bool) -> float:
    """What a node takes as plain arrays: dense features, or those it has where they are sparse."""
    if dense or not sparse.issparse(graph.x):
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
    n = nodes_asked(graph, params, bytes_per_node=bytes_per_node(graph, dense=params.output_features == "propagated"))
    seen = graph.visible()
    steps = iter(range(10**9))

    def tick() -> None:
        ctx.progress(min(next(steps), 99), 100, phase="select")

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
