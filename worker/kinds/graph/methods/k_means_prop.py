"""Class-wise k-means of propagated features: the condensation that takes seconds (GECC, arXiv:2502.17614).

F = sum_k w_k Â^k X; the train rows of each class are parted by k-means, and the centroids are the condensed nodes, with
no edges. Time O(E d K + N_train d n / C per round).

Departures from the published code: propagation goes to the same depth in both settings (the inductive branch stops one
hop early, so the weight published for Reddit is never used); SSE and imbalance are each scaled before they are added;
fuzzy memberships sum to 1 over the clusters of a row; starting from earlier centroids works (`start`, with missing
centres seeded by k-means++ given the old ones), where it is commented out; no array of points x clusters x features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Input, Term, method
from worker.kinds.graph.allocation import allocate
from worker.kinds.graph.budget import SizeParams, nodes_asked
from worker.kinds.graph.clustering.propagated_means import BALANCE, class_means, mixed
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import dense
from worker.kinds.graph.making import condensed, ticks
from worker.kinds.graph.selection import bytes_per_node
from worker.kinds.graph.summary import CondensedGraph


class KMeansPropParams(SizeParams):
    """Parameters of `k-means-prop`."""

    weights: list[float] = Field(
        [0.0, 0.0, 1.0],
        min_length=1,
        max_length=6,
        description="Weights of X, ÂX, Â²X, ... in the features that are clustered; [0, 0, 1] takes two hops.",
    )
    fuzziness: float = Field(1.0, ge=1, le=2, description="Exponent of fuzzy c-means; 1 is k-means.")
    restarts: int = Field(10, ge=1, le=100, description="Runs, of which the best is kept; one where a run is long.")
    balance: float = Field(
        BALANCE, ge=0, le=10, description="What unequal sizes of clusters cost beside distances, when a run is chosen."
    )


COST = Cost(
    seconds=(Term(0.1), Term(4e-9, {"edges": 1, "features": 1}), Term(2e-8, {"train_nodes": 1, "features": 1})),
    memory_mb=(Term(300.0), Term(1.2e-5, {"train_nodes": 1, "features": 1}), Term(1e-4, {"edges": 1})),
)


@method(
    kind="graph",
    task="distil",
    name="k-means-prop",
    version=1,
    paper="arXiv:2502.17614",
    inputs=(
        Input("start", "summary", required=False, description="An earlier condensed graph, whose nodes are moved on."),
    ),
    cost=COST,
)
def k_means_prop(data: Graph, params: KMeansPropParams, ctx: Context) -> CondensedGraph:
    """Centroids of the propagated features of each class, in seconds."""
    n = nodes_asked(data, params, bytes_per_node=bytes_per_node(data, filled=True))
    seen, tick = data.visible(), ticks(ctx, "cluster")
    tick()
    rows = mixed(seen, params.weights, seen.train, tick)
    counts = allocate(seen.train_counts, n)
    clusters = class_means(
        rows, seen.y[seen.train], counts, ctx.rng,
        restarts=params.restarts, balance=params.balance, fuzziness=params.fuzziness,
        start=_start(data, ctx.inputs.get("start")), tick=tick,
    )  # fmt: skip
    settings: dict[str, Any] = params.model_dump()
    return condensed(data, clusters.x, clusters.y, "k-means-prop", settings, ctx)


def _start(data: Graph, earlier: Any) -> list[np.ndarray] | None:
    """Centres to begin with, by class, whatever number it had then; None without an earlier condensed graph."""
    if earlier is None:
        return None
    if not isinstance(earlier, CondensedGraph) or earlier.x.shape[1] != data.d:
        raise JobError(
            "invalid_input",
            f"The earlier condensed graph is not over the {data.d} features of the dataset.",
            hint="Start from a condensed graph of this dataset, or of an earlier version of it.",
            pointer="/inputs/start",
        )
    x, names = dense(earlier.x), np.array([*earlier.classes, ""])[earlier.y]
    return [x[names == name] for name in data.classes]
