"""Merge the ends of edges that are the heaviest of both (Dhillon, Guan, Kulis, PAMI 2007: heavy-edge matching).

Edges of equal weight, which on the first level are often all, come in random order.
What is ours: nodes of different classes are merged only when nothing else is left, merging ends at exactly the number
of nodes asked for, and small components stay. O(m log m) a level.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.coarsening.levels import Matching
from worker.kinds.graph.coarsening.proximity import heavy_edge as proximity
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.merging import COST, CoarseningParams, coarsened
from worker.kinds.graph.summary import CondensedGraph


class HeavyEdgeParams(CoarseningParams):
    """Parameters of `heavy-edge`."""


@method(kind="graph", task="distil", name="heavy-edge", version=1, cost=COST)
def heavy_edge(data: Graph, params: HeavyEdgeParams, ctx: Context) -> CondensedGraph:
    """Clusters of matched edges, the heaviest first."""
    return coarsened(data, params, "heavy-edge", ctx, lambda: Matching(proximity))
