"""Random train nodes of each class: the selection that every other must beat."""

from __future__ import annotations

import numpy as np

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.selection import SELECT_COST, SelectParams, selected
from worker.kinds.graph.summary import CondensedGraph


class RandomParams(SelectParams):
    """Parameters of `random`."""


@method(
    kind="graph",
    task="select",
    name="random",
    version=1,
    cost=SELECT_COST,
)
def random(data: Graph, params: RandomParams, ctx: Context) -> CondensedGraph:
    """Real nodes drawn from the train nodes of each class, without replacement."""
    rng = ctx.rng
    return selected(data, params, "random", ctx, lambda seen, tick: lambda c, nodes, n: drawn(nodes, n, rng))


def drawn(nodes: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n of the nodes, in the order drawn: what n nodes are is a prefix of what n + 1 are."""
    return rng.permutation(nodes)[:n]
