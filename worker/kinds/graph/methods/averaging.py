"""Averaging: every condensed node of a class is the mean of its train nodes (GC4NC's floor of condensation).

As many equal nodes as the budget says, in proportion to the classes, so that the classes keep their weight. It is what
distribution matching of linear embeddings comes to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.allocation import allocate
from worker.kinds.graph.budget import SizeParams, nodes_asked
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.making import condensed
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.selection import SELECT_COST, bytes_per_node
from worker.kinds.graph.summary import CondensedGraph


class AveragingParams(SizeParams):
    """Parameters of `averaging`."""

    hops: int = Field(0, ge=0, le=5, description="Steps of propagation before averaging; 0 averages raw features.")


@method(kind="graph", task="distil", name="averaging", version=1, cost=SELECT_COST)
def averaging(data: Graph, params: AveragingParams, ctx: Context) -> CondensedGraph:
    """The mean of the train nodes of each class, as often as the class is worth."""
    n = nodes_asked(data, params, bytes_per_node=bytes_per_node(data, filled=True))
    seen = data.visible()
    ctx.progress(0, 2, phase="average")
    rows = propagated(seen.operator, seen.x, params.hops, seen.train, lambda: ctx.progress(1, 2, phase="average"))
    y = seen.y[seen.train]
    means = np.stack([rows[y == c].mean(axis=0, dtype=np.float64) for c in range(data.n_classes)]).astype(np.float32)
    counts = allocate(seen.train_counts, n)
    settings: dict[str, Any] = params.model_dump()
    ctx.progress(2, 2, phase="average")
    return condensed(data, np.repeat(means, counts, axis=0), np.repeat(np.arange(data.n_classes), counts), "averaging",
                     settings, ctx)  # fmt: skip
