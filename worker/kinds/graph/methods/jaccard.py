"""Keep edges whose ends share most neighbours (G-Spar; Satuluri, Parthasarathy, Ruan, SIGMOD 2011): the insides of
clusters.

Ordered by |N_u ∩ N_v| / |N_u ∪ N_v|, ties at random. In sparse graphs most edges lie in no triangle, and which of them
are kept is then left to chance. O(m^1.5).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.sparsification.edges import Edges, highest
from worker.kinds.graph.sparsification.similarity import jaccard_index
from worker.kinds.graph.summary import CondensedGraph
from worker.kinds.graph.thinning import COST, Thinned, ThinningParams, thinned


class JaccardParams(ThinningParams):
    """Parameters of `jaccard`."""


@method(kind="graph", task="select", name="jaccard", version=1, cost=COST)
def jaccard(data: Graph, params: JaccardParams, ctx: Context) -> CondensedGraph:
    """Edges whose ends share most of their neighbours (Jaccard's index)."""

    def thin(edges: Edges, count: int, rng: np.random.Generator, tick: Callable[[], None]) -> Thinned:
        return Thinned(edges.keep(highest(jaccard_index(edges, tick), count, rng)))

    return thinned(data, params, "jaccard", ctx, thin)
