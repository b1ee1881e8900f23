"""Keep edges to the hubs of each neighbourhood (Lindner et al., ASONAM 2015): what social networks hang together by.

A node of degree d keeps its d^a neighbours of highest degree, a as large as the number of edges asked for allows.
O(m log m).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.sparsification.edges import Edges, highest
from worker.kinds.graph.sparsification.local_degree import local_exponents
from worker.kinds.graph.summary import CondensedGraph
from worker.kinds.graph.thinning import COST, Thinned, ThinningParams, thinned


class LocalDegreeParams(ThinningParams):
    """Parameters of `local-degree`."""


@method(kind="graph", task="select", name="local-degree", version=1, paper="arXiv:1505.00564", cost=COST)
def local_degree(data: Graph, params: LocalDegreeParams, ctx: Context) -> CondensedGraph:
    """Edges to the neighbours of highest degree."""

    def thin(edges: Edges, count: int, rng: np.random.Generator, tick: Callable[[], None]) -> Thinned:
        return Thinned(edges.keep(highest(-local_exponents(edges), count, rng)))

    return thinned(data, params, "local-degree", ctx, thin)
