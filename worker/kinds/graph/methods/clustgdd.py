"""ClustGDD: clusters of ALL nodes by what a linear model makes of them, and the edges between them (KDD 2025).

Lai et al., "Simple yet Effective Graph Distillation via Clustering", arXiv:2505.20807. F is a discounted sum of
propagated features; a linear model is trained on its labelled rows; its outputs for all nodes are clustered, and a
cluster becomes the mean of F over its nodes. Edges are those between clusters, all or a sample that prefers edges of
high resistance between nodes of one class. `structure=auto` delivers what validates best: no edges, all, or the sample.
Transductive: it uses the features of held-out nodes, and is marked so. Time O(T E d + N d C).

Departures from the published code: clusters are made within predicted classes, so that no class vanishes and their
sizes are those of the predicted classes; memberships have columns of length 1, not sum 1, or edges would weigh nothing
beside self-loops; the refinement of features is left out, since the published one optimises on values computed once
before its loop and always keeps its last state.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from scipy import sparse

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.graph.allocation import allocate
from worker.kinds.graph.budget import SizeParams, nodes_asked
from worker.kinds.graph.clustering.kmeans import means
from worker.kinds.graph.condensation.candidate import Candidate
from worker.kinds.graph.condensation.cluster_graph import (
    clusters_by_class,
    edges_between,
    linear_model,
    smoothing_weights,
    sparsified,
)
from worker.kinds.graph.condensation.costs import MEMORY, choosing
from worker.kinds.graph.condensation.validation import validator
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.making import condensed
from worker.kinds.graph.propagation import combined
from worker.kinds.graph.selection import bytes_per_node
from worker.kinds.graph.summary import CondensedGraph
from worker.numerics.seeds import mix


class ClustGDDParams(SizeParams):
    """Parameters of `clustgdd`."""

    hops: int = Field(10, ge=2, le=30, description="Terms T of the sum of propagated features.")
    alpha: float = Field(0.8, gt=0, lt=1, description="What a further hop counts beside the one before.")
    epochs: int = Field(200, ge=1, le=5000, description="Epochs of the linear model.")
    dropout: float = Field(0.6, ge=0, lt=1, description="Share of features hidden while it is trained.")
    structure: Literal["auto", "none", "clusters", "sparsified"] = Field(
        "auto", description="Edges to deliver: none, all those between clusters, a sample; auto lets validation choose."
    )
    keep_fraction: float = Field(0.3, gt=0, le=1, description="Share of the edges in the sample.")


COST = Cost(
    seconds=(
        Term(1.0),
        *choosing(3),
        Term(4e-9, {"edges": 1, "features": 1, "params.hops": 1}),
        Term(3e-7, {"nodes": 1, "features": 1}),
    ),
    memory_mb=(*MEMORY,),
)


@method(kind="graph", task="distil", name="clustgdd", version=1, paper="arXiv:2505.20807", memory_mb=1536, cost=COST)
def clustgdd(data: Graph, params: ClustGDDParams, ctx: Context) -> CondensedGraph:
    """Means of clusters of all nodes, by the outputs of a linear model, with the edges between them."""
    seen = data.visible()
    n = nodes_asked(data, params, bytes_per_node=bytes_per_node(data, filled=True))

    def tick() -> None:
        ctx.progress(0, 4, phase="cluster")

    tick()
    f = combined(seen.operator, seen.x, smoothing_weights(params.alpha, params.hops), None, tick)
    labels = seen.y[seen.train]
    weight = linear_model(
        f[seen.train], labels, data.n_classes, epochs=params.epochs, dropout=params.dropout, seed=mix(ctx.seed, 1),
        tick=tick,
    )  # fmt: skip
    output = f @ weight
    predicted = output.argmax(axis=1)
    predicted[seen.train] = labels
    counts = allocate(np.bincount(predicted, minlength=data.n_classes), n)
    cluster, y = clusters_by_class(output, predicted, counts, ctx.rng, tick)
    x = means(f, cluster, n)
    ways = _structures(params, seen.operator, cluster, y, data.n_classes, ctx)
    name, adjacency, curve = _choose(data, x, y, ways, ctx)
    said: dict[str, Any] = params.model_dump() | {"structure_chosen": name}
    sees = "all" if data.setting == "transductive" else "train"
    return condensed(data, x, y, "clustgdd", said, ctx, adjacency=adjacency, sees=sees, curve=curve)


def _structures(
    params: ClustGDDParams, operator: sparse.csr_array, cluster: np.ndarray, y: np.ndarray, classes: int, ctx: Context
) -> dict[str, sparse.csr_array | None]:
    """The structures to choose from, by name, those without an edge left out; none at all is always one of them."""
    wanted = ("none", "clusters", "sparsified") if params.structure == "auto" else (params.structure,)
    between = edges_between(operator, cluster, len(y))
    ways: dict[str, sparse.csr_array | None] = {"none": None, "clusters": between}
    if "sparsified" in wanted:
        rng = np.random.default_rng(mix(ctx.seed, 2))
        ways["sparsified"] = sparsified(between, np.eye(classes)[y], params.keep_fraction, rng)
    found = {name: ways[name] for name in wanted if ways[name] is None or ways[name].nnz}
    if not found:
        ctx.warn(f"There are no edges between clusters for structure={params.structure}: the nodes have none.")
    return found or {"none": None}


def _choose(
    data: Graph, x: np.ndarray, y: np.ndarray, ways: dict[str, sparse.csr_array | None], ctx: Context
) -> tuple[str, sparse.csr_array | None, tuple[dict[str, float], ...]]:
    """The structure that validates best, the first of equal ones and where there is no validation node."""
    validate = validator(data, ctx) if len(ways) > 1 else None
    if validate is None:
        if len(ways) > 1:
            ctx.warn("There are no validation nodes: the nodes are delivered without edges.")
        name = next(iter(ways))
        return name, ways[name], ()
    scores = []
    for number, adjacency in enumerate(ways.values()):
        if number and ctx.out_of_time():
            ctx.warn("The time limit ended the choice of a structure; it is the best of those that were validated.")
            break
        dense = None if adjacency is None else torch.from_numpy(adjacency.toarray())
        with ctx.part(f"structure {number}", number + 1, len(ways) + 1, label="validate") as part:
            point = part.restore()
            if point is None:
                score = validate(Candidate(torch.from_numpy(x), torch.from_numpy(y), dense), part)
                part.finish({}, {"score": score})
            else:
                score = float(point.state["score"])
        scores.append(score)
    best = int(np.argmax(scores))
    curve = tuple({"structure": float(number), "validation_accuracy": score} for number, score in enumerate(scores))
    return list(ways)[best], list(ways.values())[best], curve
