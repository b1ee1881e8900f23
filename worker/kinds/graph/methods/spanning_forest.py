"""Keep spanning forests, one after another (Nagamochi, Ibaraki 1992): nothing that was connected comes apart.

The first forest keeps the connected components; each further one joins again what the edges left over join, so cuts of
few edges stay whole. The heaviest edges come first, ties at random. O(m log m) a forest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.sparsification.edges import Edges
from worker.kinds.graph.sparsification.forests import spanning_forests
from worker.kinds.graph.summary import CondensedGraph
from worker.kinds.graph.thinning import COST, Thinned, ThinningParams, need_edges, thinned


class SpanningForestParams(ThinningParams):
    """Parameters of `spanning-forest`."""


@method(kind="graph", task="select", name="spanning-forest", version=1, cost=COST)
def spanning_forest(data: Graph, params: SpanningForestParams, ctx: Context) -> CondensedGraph:
    """Spanning forests: the connected components stay."""

    def thin(edges: Edges, count: int, rng: np.random.Generator, tick: Callable[[], None]) -> Thinned:
        need_edges(edges.nodes - edges.components(), count, "a spanning forest", params)
        return Thinned(edges.keep(spanning_forests(edges, count, rng, tick)))

    return thinned(data, params, "spanning-forest", ctx, thin)
