"""Merge neighbourhoods that the slow vectors of the graph hardly tell apart (Loukas, JMLR 2019: local variation).

What is ours: nodes of different classes are merged only when nothing else is left, merging ends at exactly the number
of nodes asked for, and small components stay. O(K^2) for every edge inside a neighbourhood, and the K slowest vectors
by conjugate gradients.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.coarsening.levels import Variation
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.merging import COST, VariationParams, coarsened
from worker.kinds.graph.summary import CondensedGraph


class VariationNeighborhoodsParams(VariationParams):
    """Parameters of `variation-neighborhoods`."""


@method(kind="graph", task="distil", name="variation-neighborhoods", version=1, paper="arXiv:1808.10650", cost=COST)
def variation_neighborhoods(data: Graph, params: VariationNeighborhoodsParams, ctx: Context) -> CondensedGraph:
    """Clusters of neighbourhoods that keep the slow vectors of the graph."""
    return coarsened(
        data, params, "variation-neighborhoods", ctx, lambda: Variation("neighborhoods", params.eigenvectors)
    )
