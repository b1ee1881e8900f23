"""One run of gradient matching, from a graph and parameters to a condensed graph: what GCond and its kin share."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field

from worker.contract.context import Context
from worker.evidence.distilling import learn
from worker.kinds.graph.budget import SizeParams, nodes_asked
from worker.kinds.graph.condensation.candidate import WORDS
from worker.kinds.graph.condensation.experts import RealNodes, Shape
from worker.kinds.graph.condensation.gradient_matching import GradientMatching, Matching
from worker.kinds.graph.condensation.relay import GCNRelay, LinearRelay, Relay
from worker.kinds.graph.condensation.structure import FreeEdges, PairwiseEdges
from worker.kinds.graph.condensation.validation import edges_of, validator
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.making import condensed
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.selection import bytes_per_node
from worker.kinds.graph.start import Start, start_nodes, typical
from worker.kinds.graph.summary import CondensedGraph
from worker.numerics.seeds import mix

HIDDEN, GCN_HIDDEN = 128, 64


class MatchingParams(SizeParams):
    """What every gradient matching takes."""

    hops: int = Field(2, ge=1, le=5, description="Steps of propagation before the linear relay.")
    epochs: int = Field(60, ge=1, le=5000, description="Relays to match, one after the other.")
    relay: Literal["gcn", "sgc"] = Field(
        "gcn", description="The model whose gradients are matched: a GCN, or a linear one, in closed form and faster."
    )
    distance: Literal["auto", "ours", "mse", "cos"] = Field(
        "auto",
        description="Of two gradients: 1 - cosine summed over columns (ours), squared differences (mse), one cosine; "
        "auto: mse for a GCN, ours for the linear relay.",
    )
    lr_feat: float = Field(
        2e-3, ge=1e-6, le=1, description="Step size of Adam on features, in units of the mean feature that is not 0."
    )
    init: Start = Field("k-means-prop", description="Where the nodes start, all of them in propagated features.")
    patience: int = Field(5, ge=1, le=100, description="Validations without a better one before stopping, of 8 in all.")


class EdgeParams(MatchingParams):
    """What gradient matching with edges takes beside."""

    lr_adj: float = Field(3e-3, ge=1e-6, le=1, description="Step size of Adam on the structure.")
    threshold: float = Field(0.05, ge=0, lt=1, description="Edges below this weight are dropped.")


def distance_of(params: MatchingParams) -> str:
    """The distance that was asked for, or the one that suits the relay: a column of a GCN's gradient that is all but
    zero, where a unit is dead, counts as much as any other with cosines."""
    if params.distance != "auto":
        return params.distance
    return "mse" if params.relay == "gcn" else "ours"


def matched(
    data: Graph,
    params: MatchingParams,
    method: str,
    ctx: Context,
    *,
    outer: int,
    inner: int,
    structure: Literal["none", "mlp", "bernoulli"] = "none",
    lr_adj: float = 1e-3,
    threshold: float = 0.0,
    sparsity: float = 0.0,
) -> CondensedGraph:
    """The condensed graph that validates best along a run of gradient matching."""
    edges = structure != "none"
    n = nodes_asked(data, params, bytes_per_node=bytes_per_node(data, filled=True))
    seen = data.visible()

    def tick() -> None:
        ctx.progress(0, params.epochs, phase="prepare")

    tick()
    rows = propagated(seen.operator, seen.x, params.hops, seen.train, tick)
    x, y = start_nodes(seen, rows, n, params.init, ctx.rng, tick)
    labels = seen.y[seen.train]
    if params.relay == "gcn":
        relay: Relay = GCNRelay(RealNodes.of(seen, ctx.device), Shape(data.d, GCN_HIDDEN, data.n_classes))
    else:
        real = [torch.from_numpy(rows[labels == c]).to(ctx.device) for c in range(data.n_classes)]
        relay = LinearRelay(real, params.hops)
    first = torch.from_numpy(x).to(ctx.device)
    settings = Matching(
        outer=outer, inner=inner, distance=distance_of(params),
        lr_feat=params.lr_feat * typical(seen.x), lr_adj=lr_adj, threshold=threshold, sparsity=sparsity,
        epochs=params.epochs,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(mix(ctx.seed, 1))
    made: PairwiseEdges | FreeEdges | None = None
    if structure == "mlp":
        scale = float(first.norm(dim=1).mean().clamp_min(1e-12))
        made = PairwiseEdges(first.shape[1], HIDDEN, n, scale, generator).to(ctx.device)
    elif structure == "bernoulli":
        made = FreeEdges(n).to(ctx.device)
    nodes = torch.from_numpy(y).to(ctx.device)
    problem = GradientMatching(relay, first, nodes, data.n_classes, settings, ctx.seed, made)
    learned = learn(problem, validator(data, ctx), ctx, WORDS, steps=params.epochs, patience=params.patience)
    adjacency = edges_of(learned.best)
    if edges and adjacency is None:
        ctx.warn("No edge reached the threshold in the candidate that validated best: the nodes have none.")
    said: dict[str, Any] = params.model_dump() | {
        "distance": settings.distance,
        "epochs_done": learned.done,
        "lr_feat_absolute": settings.lr_feat,
    }
    return condensed(
        data, learned.best.x.cpu().numpy(), learned.best.y.cpu().numpy(), method, said, ctx,
        adjacency=adjacency, optimised_for=params.relay, curve=tuple(learned.history), best_step=learned.step,
    )  # fmt: skip
