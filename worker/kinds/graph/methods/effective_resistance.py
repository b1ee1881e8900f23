"""Keep edges in proportion to how little else joins their ends (Spielman, Srivastava 2011), with unbiased weights.

The effective resistance of an edge is large where few other paths run beside it; bridges are always kept. See
`worker.kinds.graph.sparsification.resistance` for what is ours. O(m) for each of `projections` solutions, by conjugate
gradients.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.sparsification.edges import Edges
from worker.kinds.graph.sparsification.resistance import resistance_sample, resistances
from worker.kinds.graph.summary import CondensedGraph
from worker.kinds.graph.thinning import RESISTANCE_COST, Thinned, ThinningParams, thinned


class EffectiveResistanceParams(ThinningParams):
    """Parameters of `effective-resistance`."""

    projections: int = Field(
        128, ge=8, le=2000, description="Random projections behind each resistance in graphs of over 1,000 nodes."
    )


@method(
    kind="graph", task="select", name="effective-resistance", version=1, paper="arXiv:0803.0929", cost=RESISTANCE_COST
)
def effective_resistance(data: Graph, params: EffectiveResistanceParams, ctx: Context) -> CondensedGraph:
    """Edges drawn by effective resistance, with weights that keep the expected Laplacian."""

    def thin(edges: Edges, count: int, rng: np.random.Generator, tick: Callable[[], None]) -> Thinned:
        resistance = resistances(edges, params.projections, rng, tick)
        kept = resistance_sample(edges, resistance, count, rng)
        return Thinned(kept if params.reweight else edges.keep(edges.numbers_of(kept)), weighted=True)

    return thinned(data, params, "effective-resistance", ctx, thin)
