"""Keep edges such that no distance grows more than t times (Althöfer et al. 1993), and fill up with random ones.

Without `stretch` the least of 2, 3, 4, 5, 7, 9 and infinity is taken whose spanner fits in what is asked for. More
edges never lengthen a path, so the bound holds for what is delivered, lengths being 1 / weight of the original edges.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.sparsification.edges import Edges
from worker.kinds.graph.sparsification.spanner import spanner, spanner_within
from worker.kinds.graph.summary import CondensedGraph
from worker.kinds.graph.thinning import COST, Thinned, ThinningParams, need_edges, thinned


class TSpannerParams(ThinningParams):
    """Parameters of `t-spanner`."""

    stretch: float | None = Field(
        None, ge=1, le=1000, description="How many times as long a distance may become; null: the least that fits."
    )


@method(kind="graph", task="select", name="t-spanner", version=1, cost=COST)
def t_spanner(data: Graph, params: TSpannerParams, ctx: Context) -> CondensedGraph:
    """A subgraph in which no distance is more than t times as long."""

    def thin(edges: Edges, count: int, rng: np.random.Generator, tick: Callable[[], None]) -> Thinned:
        need_edges(edges.nodes - edges.components(), count, "a spanning forest", params)
        if params.stretch is None:
            stretch, kept = spanner_within(edges, count, rng, tick)
        else:
            stretch, kept = params.stretch, spanner(edges, params.stretch, rng, tick)
            need_edges(int(kept.sum()), count, f"a spanner of stretch {stretch:g}", params)
        rest = rng.permutation(np.flatnonzero(~kept))[: count - int(kept.sum())]
        found = {"stretch": stretch if np.isfinite(stretch) else "a spanning forest", "of_spanner": int(kept.sum())}
        kept[rest] = True
        return Thinned(edges.keep(kept), settings=found)

    return thinned(data, params, "t-spanner", ctx, thin)
