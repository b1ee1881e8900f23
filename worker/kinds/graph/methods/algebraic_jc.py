"""Merge the ends of edges that are near in algebraic distance (Ron, Safro, Brandt 2011), by Jacobi relaxation.

What is ours: nodes of different classes are merged only when nothing else is left, merging ends at exactly the number
of nodes asked for, and small components stay. O(m) a level.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.coarsening.levels import Matching
from worker.kinds.graph.coarsening.proximity import algebraic_jc as proximity
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.merging import COST, CoarseningParams, coarsened
from worker.kinds.graph.summary import CondensedGraph


class AlgebraicJcParams(CoarseningParams):
    """Parameters of `algebraic-jc`."""


@method(kind="graph", task="distil", name="algebraic-jc", version=1, paper="arXiv:1004.1220", cost=COST)
def algebraic_jc(data: Graph, params: AlgebraicJcParams, ctx: Context) -> CondensedGraph:
    """Clusters of matched edges, the nearest in algebraic distance first."""
    return coarsened(data, params, "algebraic-jc", ctx, lambda: Matching(proximity))
