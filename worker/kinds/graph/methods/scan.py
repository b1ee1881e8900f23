"""Keep edges of high structural similarity, the measure of SCAN (Xu, Yuruk, Feng, Schweiger, KDD 2007).

(|N_u ∩ N_v| + 1) / sqrt((d_u + 1)(d_v + 1)): like Jaccard's index, and without triangles edges between nodes of low
degree come first. O(m^1.5).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.sparsification.edges import Edges, highest
from worker.kinds.graph.sparsification.similarity import structural_similarity
from worker.kinds.graph.summary import CondensedGraph
from worker.kinds.graph.thinning import COST, Thinned, ThinningParams, thinned


class ScanParams(ThinningParams):
    """Parameters of `scan`."""


@method(kind="graph", task="select", name="scan", version=1, cost=COST)
def scan(data: Graph, params: ScanParams, ctx: Context) -> CondensedGraph:
    """Edges whose ends have similar neighbourhoods (SCAN)."""

    def thin(edges: Edges, count: int, rng: np.random.Generator, tick: Callable[[], None]) -> Thinned:
        return Thinned(edges.keep(highest(structural_similarity(edges, tick), count, rng)))

    return thinned(data, params, "scan", ctx, thin)
