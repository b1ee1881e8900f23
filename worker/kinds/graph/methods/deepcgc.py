"""DeepCGC: clusters in the latent space of an invertible network, carried back to features (TKDE 2026).

The two-hop features of the train nodes go through an additive coupling network f; prototypes, balanced clusters by
optimal transport, and agreement under hidden features shape the latent space; synthetic nodes are f^-1 of cluster
means. Time O(epochs m (d hidden + n d)) for m train nodes: seconds to a minute. With `threshold` the nodes are joined
by cosine as in `cgc`.

Departures from the published code: it starts at plain k-means and delivers what validates best; every network is
evaluated alike, where the authors tune the evaluation for each rate; and pseudo-labels, which the published code adds
without a word for two datasets, are an option (`pseudo_label`) that is off.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import Field
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Term, method
from worker.evidence.distilling import learn
from worker.kinds.graph.allocation import allocate
from worker.kinds.graph.budget import nodes_asked
from worker.kinds.graph.clustering.cgc import join
from worker.kinds.graph.clustering.kmeans import best_of
from worker.kinds.graph.clustering.pseudo_labels import with_pseudo_labels
from worker.kinds.graph.clustering.surest_means import PseudoParams
from worker.kinds.graph.condensation.candidate import WORDS
from worker.kinds.graph.condensation.costs import LEARNING, MEMORY
from worker.kinds.graph.condensation.coupling import DeepClusters, DeepSettings
from worker.kinds.graph.condensation.validation import validator
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.making import condensed
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.selection import bytes_per_node
from worker.kinds.graph.summary import CondensedGraph

HOPS, RESTARTS = 2, 10


class DeepCGCParams(PseudoParams):
    """Parameters of `deepcgc`."""

    epochs: int = Field(60, ge=1, le=2000, description="Steps of Adam on all rows.")
    lr: float = Field(5e-4, ge=1e-6, le=0.1, description="Step size.")
    warmup: int = Field(30, ge=0, le=1000, description="Steps before clusters are made anew.")
    update_every: int = Field(5, ge=1, le=1000, description="Steps from one clustering to the next.")
    epsilon: float = Field(0.1, ge=0.01, le=1, description="Regularisation of the optimal transport.")
    temperature: float = Field(0.1, ge=0.01, le=10, description="Temperature of the cosine logits.")
    delta: float = Field(1.0, ge=0, le=100, description="Weight of the agreement under hidden features.")
    sigma: float = Field(1.0, ge=0, le=100, description="Weight of what keeps prototypes apart.")
    mask: float = Field(0.2, ge=0, le=0.9, description="Share of the features that are hidden.")
    threshold: float | None = Field(
        None, ge=0.5, le=0.9999, description="Cosine above which two nodes are joined; left out: no edges."
    )
    alpha: float = Field(1.0, ge=0.1, le=10, description="With a threshold: weight of the fit against smoothness.")
    patience: int = Field(8, ge=1, le=100, description="Validations without a better one before stopping, of 8 in all.")


COST = Cost(
    seconds=(
        *LEARNING,
        Term(4.5e-7, {"params.epochs": 1, "train_nodes": 1, "features": 1}),
    ),
    memory_mb=(
        *MEMORY,
        Term(5e-5, {"train_nodes": 1, "features": 1}),
    ),
)


@method(kind="graph", task="distil", name="deepcgc", version=1, device="any", memory_mb=1536, cost=COST)
def deepcgc(data: Graph, params: DeepCGCParams, ctx: Context) -> CondensedGraph:
    """Means of balanced clusters in a learned latent space, carried back to features."""
    if data.d < 2:
        raise JobError(
            "invalid_input",
            "deepcgc moves one half of the features by the other, and the graph has a single one.",
            hint="Use k-means-prop.",
            pointer="/method",
        )
    n = nodes_asked(data, params, bytes_per_node=bytes_per_node(data, filled=True))
    seen = data.visible()

    def tick() -> None:
        ctx.progress(0, params.epochs, phase="prepare")

    tick()
    nodes, y = with_pseudo_labels(seen, params.pseudo_label)
    order = np.argsort(y, kind="stable")
    nodes, y = nodes[order], y[order]
    rows = propagated(seen.operator, seen.x, HOPS, nodes, tick)
    counts = allocate(seen.train_counts, n)
    owner = np.repeat(np.arange(len(counts)), counts)
    parts, rng, first = np.empty(len(y), np.int64), ctx.rng, 0
    for c, k in enumerate(counts.tolist()):
        parts[y == c] = first + best_of(rows[y == c], k, rng, restarts=RESTARTS, tick=tick).assignment
        first += k
    settings = DeepSettings(
        params.lr, params.warmup, params.update_every, params.epsilon, params.temperature, params.delta, params.sigma,
        params.mask,
    )  # fmt: skip
    problem = DeepClusters(
        *(torch.from_numpy(one).to(ctx.device) for one in (rows, y, parts, owner)), settings, ctx.seed
    )
    learned = learn(problem, validator(data, ctx), ctx, WORDS, steps=params.epochs, patience=params.patience)
    x, adjacency = learned.best.x.cpu().numpy(), None
    if params.threshold is not None:
        joined = join(x, params.threshold, params.alpha)
        x, adjacency = joined.x, sparse.csr_array(joined.adjacency) if joined.edges else None
        if not joined.edges:
            ctx.warn(f"No two nodes have a cosine above the threshold {params.threshold:g}: there are no edges.")
    said: dict[str, Any] = params.model_dump() | {"epochs_done": learned.done}
    return condensed(
        data, x, owner, "deepcgc", said, ctx, adjacency=adjacency, curve=tuple(learned.history),
        best_step=learned.step, sees="unlabelled" if params.pseudo_label else "train",
    )  # fmt: skip
