"""GCSNTK: synthetic nodes and soft labels by kernel ridge regression with a structure-based kernel (WWW 2024).

Wang, Fan, Li, "Fast Graph Condensation with Structure-based Neural Tangent Kernel", arXiv:2310.11046. The nodes and
their labels are learned so that kernel regression from them predicts the classes of the train nodes; no network is
trained inside. Time O(epochs (m' n d + n³)) for m' train nodes and their neighbours, memory O(m' n).

Departures from the published code: the derivative part of the kernel is taken at the old angle (theirs is at the one
already updated, as in the code of the graph kernel it builds on; `compat` repeats it); nodes start as k-means of
propagated features instead of uniform noise, since networks must work on the scale of the original features; steps are
in units of the features; what validates best, with a GCN on soft labels, is delivered. One or two hops.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.evidence.distilling import learn
from worker.kinds.graph.budget import SizeParams, nodes_asked
from worker.kinds.graph.condensation.candidate import WORDS
from worker.kinds.graph.condensation.costs import LEARNING, MEMORY
from worker.kinds.graph.condensation.structure_ntk import KernelCondensation, RealSide
from worker.kinds.graph.condensation.validation import validator
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.making import condensed
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.selection import bytes_per_node
from worker.kinds.graph.start import Start, start_nodes, typical
from worker.kinds.graph.summary import CondensedGraph

STEPS = 10  # of an epoch


class GCSNTKParams(SizeParams):
    """Parameters of `gcsntk`."""

    epochs: int = Field(24, ge=1, le=5000, description="Epochs of ten steps on all train nodes.")
    ridge: float = Field(1.0, ge=1e-8, le=100, description="Ridge, in units of the kernel's mean diagonal.")
    hops: Literal[1, 2] = Field(2, description="How often the kernel averages over neighbours (K).")
    layers: int = Field(2, ge=1, le=5, description="Layers of the infinitely wide network after each averaging (L).")
    lr_feat: float = Field(
        2e-3, ge=1e-6, le=1, description="Step size of Adam on features, in units of the mean feature that is not 0."
    )
    lr_label: float = Field(2e-3, ge=1e-6, le=1, description="Step size of Adam on the logits of labels.")
    init: Start = Field("k-means-prop", description="Where the nodes start, all of them in propagated features.")
    compat: Literal["ours", "official"] = Field(
        "ours", description="The kernel as derived, or as published code has it."
    )
    patience: int = Field(5, ge=1, le=100, description="Validations without a better one before stopping, of 8 in all.")


COST = Cost(
    seconds=(
        *LEARNING,
        Term(0.05, {"params.epochs": 1}),
        Term(1.1e-6, {"params.epochs": 1, "train_nodes": 1, "features": 1}),
    ),
    memory_mb=(*MEMORY,),
)


@method(
    kind="graph",
    task="distil",
    name="gcsntk",
    version=1,
    paper="arXiv:2310.11046",
    device="any",
    memory_mb=1536,
    cost=COST,
)
def gcsntk(data: Graph, params: GCSNTKParams, ctx: Context) -> CondensedGraph:
    """Synthetic nodes with soft labels, learned through kernel regression instead of a network."""
    per_node = bytes_per_node(data, filled=True) + 4 * data.n_classes
    n = nodes_asked(data, params, bytes_per_node=per_node)
    seen = data.visible()

    def tick() -> None:
        ctx.progress(0, params.epochs, phase="prepare")

    tick()
    rows = propagated(seen.operator, seen.x, 2, seen.train, tick)
    x, y = start_nodes(seen, rows, n, params.init, ctx.rng, tick)
    real = RealSide.of(
        seen.x, seen.adjacency, seen.train, hops=params.hops, layers=params.layers, device=ctx.device,
        official=params.compat == "official", tick=tick,
    )  # fmt: skip
    problem = KernelCondensation(
        real, torch.from_numpy(seen.y[seen.train]).to(ctx.device), torch.from_numpy(x).to(ctx.device),
        torch.from_numpy(y).to(ctx.device), data.n_classes, ridge=params.ridge,
        lr_feat=params.lr_feat * typical(seen.x), lr_label=params.lr_label, steps=STEPS,
    )  # fmt: skip
    learned = learn(problem, validator(data, ctx), ctx, WORDS, steps=params.epochs, patience=params.patience)
    best = learned.best
    soft = None if best.soft is None else best.soft.cpu().numpy()
    return condensed(
        data, best.x.cpu().numpy(), best.y.cpu().numpy() if soft is None else soft.argmax(axis=1), "gcsntk",
        params.model_dump() | {"epochs_done": learned.done}, ctx, soft=soft,
        curve=tuple(learned.history), best_step=learned.step,
    )  # fmt: skip
