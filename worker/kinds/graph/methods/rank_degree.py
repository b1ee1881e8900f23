"""Keep edges found by walks from random seeds to their neighbours of highest degree (Voudigari et al., ASONAM 2016).

O(m log m).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.sparsification.edges import Edges
from worker.kinds.graph.sparsification.rank_degree import rank_degree_walk
from worker.kinds.graph.summary import CondensedGraph
from worker.kinds.graph.thinning import COST, Thinned, ThinningParams, thinned


class RankDegreeParams(ThinningParams):
    """Parameters of `rank-degree`."""

    share: float = Field(0.1, gt=0, le=1, description="Share of a seed's remaining edges that it takes, one at least.")
    seeds: int = Field(10, ge=1, le=100_000, description="Nodes drawn to begin with, and whenever none is left.")


@method(kind="graph", task="select", name="rank-degree", version=1, cost=COST)
def rank_degree(data: Graph, params: RankDegreeParams, ctx: Context) -> CondensedGraph:
    """Edges found from seeds by the degree of their neighbours."""

    def thin(edges: Edges, count: int, rng: np.random.Generator, tick: Callable[[], None]) -> Thinned:
        return Thinned(edges.keep(rank_degree_walk(edges, count, params.share, params.seeds, rng, tick)))

    return thinned(data, params, "rank-degree", ctx, thin)
