"""k-center: train nodes of each class that cover it, each the furthest from those before (Gonzalez 1985).

The running least distance is kept, O(n N_train d) time; the published code computes all distances anew at every step.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.herding import k_center as cover
from worker.kinds.graph.selection import SELECT_COST, SpaceParams, in_space, selected
from worker.kinds.graph.summary import CondensedGraph


class KCenterParams(SpaceParams):
    """Parameters of `k-center`."""


@method(kind="graph", task="select", name="k-center", version=1, cost=SELECT_COST)
def k_center(data: Graph, params: KCenterParams, ctx: Context) -> CondensedGraph:
    """Real nodes that cover each class, each the furthest from those chosen before."""
    return selected(data, params, "k-center", ctx, lambda seen, tick: in_space(seen, params, cover, ctx, tick))
