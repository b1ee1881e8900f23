"""Keep edges drawn at random: the sparsifier that every other must beat.

Uniform, without replacement, exactly as many as asked for; weighted up by the inverse of the share, the expected
Laplacian is the graph's, and a node keeps its degree in the mean. O(m).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.sparsification.edges import Edges, random_edges
from worker.kinds.graph.summary import CondensedGraph
from worker.kinds.graph.thinning import COST, Thinned, ThinningParams, thinned


class RandomEdgeParams(ThinningParams):
    """Parameters of `random-edge`."""


@method(kind="graph", task="select", name="random-edge", version=1, cost=COST)
def random_edge(data: Graph, params: RandomEdgeParams, ctx: Context) -> CondensedGraph:
    """Edges drawn at random."""

    def thin(edges: Edges, count: int, rng: np.random.Generator, tick: Callable[[], None]) -> Thinned:
        return Thinned(edges.keep(random_edges(len(edges), count, rng)))

    return thinned(data, params, "random-edge", ctx, thin)
