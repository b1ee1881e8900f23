"""Herding: train nodes of each class whose mean stays nearest to the mean of the class (Welling 2009)."""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.herding import herd
from worker.kinds.graph.selection import SELECT_COST, SpaceParams, in_space, selected
from worker.kinds.graph.summary import CondensedGraph


class HerdingParams(SpaceParams):
    """Parameters of `herding`."""


@method(kind="graph", task="select", name="herding", version=1, cost=SELECT_COST)
def herding(data: Graph, params: HerdingParams, ctx: Context) -> CondensedGraph:
    """Real nodes whose mean stays nearest to that of their class."""
    return selected(data, params, "herding", ctx, lambda seen, tick: in_space(seen, params, herd, ctx, tick))
