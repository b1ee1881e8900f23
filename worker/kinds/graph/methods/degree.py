"""The train nodes of each class that have the most edges; equal ones by number. O(E + N log N) time."""

from __future__ import annotations

import numpy as np

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.selection import SELECT_COST, SelectParams, by_score, selected
from worker.kinds.graph.summary import CondensedGraph


class DegreeParams(SelectParams):
    """Parameters of `degree`."""


@method(kind="graph", task="select", name="degree", version=1, cost=SELECT_COST)
def degree(data: Graph, params: DegreeParams, ctx: Context) -> CondensedGraph:
    """Real nodes with the most edges in each class."""
    return selected(
        data, params, "degree", ctx, lambda seen, tick: by_score(np.diff(seen.adjacency.indptr).astype(np.float64))
    )
