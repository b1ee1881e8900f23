"""Merge the ends of edges of high affinity (Livne, Brandt 2012), by Gauss-Seidel relaxation.

What is ours: nodes of different classes are merged only when nothing else is left, merging ends at exactly the number
of nodes asked for, and small components stay. O(m) a level.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.coarsening.levels import Matching
from worker.kinds.graph.coarsening.proximity import affinity_gs as proximity
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.merging import COST, CoarseningParams, coarsened
from worker.kinds.graph.summary import CondensedGraph


class AffinityGsParams(CoarseningParams):
    """Parameters of `affinity-gs`."""


@method(kind="graph", task="distil", name="affinity-gs", version=1, paper="arXiv:1108.1310", cost=COST)
def affinity_gs(data: Graph, params: AffinityGsParams, ctx: Context) -> CondensedGraph:
    """Clusters of matched edges, those of highest affinity first."""
    return coarsened(data, params, "affinity-gs", ctx, lambda: Matching(proximity))
