"""One run of distribution matching, from a graph and parameters to a condensed graph: what GCDM and GCDMX share."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from scipy import sparse

from worker.contract.context import Context
from worker.evidence.distilling import learn
from worker.kinds.graph.budget import SizeParams, nodes_asked
from worker.kinds.graph.condensation.candidate import WORDS
from worker.kinds.graph.condensation.distribution_matching import DistributionMatching
from worker.kinds.graph.condensation.matched import HIDDEN
from worker.kinds.graph.condensation.structure import PairwiseEdges
from worker.kinds.graph.condensation.validation import edges_of, validator
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import compact
from worker.kinds.graph.making import condensed
from worker.kinds.graph.networks.products import Factor, Sparse, factor
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.selection import bytes_per_node
from worker.kinds.graph.start import Start, start_nodes, typical
from worker.kinds.graph.summary import CondensedGraph
from worker.numerics.seeds import mix

HOPS = 2  # layers of the random networks


class DistributionParams(SizeParams):
    """What every distribution matching takes."""

    epochs: int = Field(80, ge=1, le=5000, description="Epochs of `outer` steps.")
    outer: int = Field(5, ge=1, le=50, description="Steps of an epoch, each through a random network of its own.")
    lr_feat: float = Field(
        2e-3, ge=1e-6, le=1, description="Step size of Adam on features, in units of the mean feature that is not 0."
    )
    init: Start = Field("k-means-prop", description="Where the nodes start, all of them in propagated features.")
    patience: int = Field(5, ge=1, le=100, description="Validations without a better one before stopping, of 8 in all.")


def receptive(seen: Graph, device: str) -> tuple[Factor, tuple[Sparse, Sparse]]:
    """Rows (r, d) of ÂX at the train nodes and their neighbours, and the two matrices (C, r) that take class means of
    the first layer over them and of Â times it."""
    operator, train = seen.operator, seen.train
    around = sparse.csr_array(operator[train])
    inner = np.unique(np.concatenate([around.indices, train]))
    rows = compact(operator[inner] @ seen.x)
    labels = seen.y[train]
    share = (1 / seen.train_counts[labels]).astype(np.float32)
    means = sparse.csr_array((share, (labels, np.arange(len(train)))), shape=(seen.n_classes, len(train)))
    own = sparse.csr_array(
        (np.ones(len(train), np.float32), (np.arange(len(train)), np.searchsorted(inner, train))),
        shape=(len(train), len(inner)),
    )
    first, second = means @ own, means @ around[:, inner]
    return factor(rows, device), (Sparse.of(first, device), Sparse.of(second, device))


def distributed(
    data: Graph, params: DistributionParams, method: str, ctx: Context, *, lr_adj: float | None, threshold: float = 0.0
) -> CondensedGraph:
    """The condensed graph that validates best along a run of distribution matching; edges where `lr_adj` is given."""
    n = nodes_asked(data, params, bytes_per_node=bytes_per_node(data, filled=True))
    seen = data.visible()

    def tick() -> None:
        ctx.progress(0, params.epochs, phase="prepare")

    tick()
    rows = propagated(seen.operator, seen.x, HOPS, seen.train, tick)
    x, y = start_nodes(seen, rows, n, params.init, ctx.rng, tick)
    inner, means = receptive(seen, ctx.device)
    tick()
    first = torch.from_numpy(x).to(ctx.device)
    structure = None
    if lr_adj is not None:
        scale = float(first.norm(dim=1).mean().clamp_min(1e-12))
        generator = torch.Generator().manual_seed(mix(ctx.seed, 1))
        structure = PairwiseEdges(first.shape[1], HIDDEN, n, scale, generator).to(ctx.device)
    problem = DistributionMatching(
        inner, means, first, torch.from_numpy(y).to(ctx.device), outer=params.outer,
        lr_feat=params.lr_feat * typical(seen.x), lr_adj=lr_adj or 0.0, threshold=threshold, seed=ctx.seed,
        structure=structure,
    )  # fmt: skip
    learned = learn(problem, validator(data, ctx), ctx, WORDS, steps=params.epochs, patience=params.patience)
    adjacency = edges_of(learned.best)
    if structure is not None and adjacency is None:
        ctx.warn("No edge reached the threshold in the candidate that validated best: the nodes have none.")
    return condensed(
        data, learned.best.x.cpu().numpy(), learned.best.y.cpu().numpy(), method,
        params.model_dump() | {"epochs_done": learned.done}, ctx, adjacency=adjacency, optimised_for="gcn",
        curve=tuple(learned.history), best_step=learned.step,
    )  # fmt: skip
