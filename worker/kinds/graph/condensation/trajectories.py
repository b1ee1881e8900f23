"""One run of trajectory matching, from a graph and parameters to a condensed graph: what SFGC and GEOM share."""

from __future__ import annotations

import torch
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.evidence.distilling import learn
from worker.kinds.graph.budget import SizeParams, nodes_asked
from worker.kinds.graph.condensation.candidate import WORDS
from worker.kinds.graph.condensation.experts import RealNodes, Shape, Training, experts
from worker.kinds.graph.condensation.trajectory_matching import Trajectory, TrajectoryMatching
from worker.kinds.graph.condensation.validation import validator
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.making import condensed
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.selection import bytes_per_node
from worker.kinds.graph.start import Start, start_nodes
from worker.kinds.graph.summary import CondensedGraph

HOPS, ITERATIONS = 2, 5


class TrajectoryParams(SizeParams):
    """What both trajectory matchings take."""

    experts: int = Field(4, ge=1, le=200, description="Networks trained on the whole graph.")
    teacher_epochs: int = Field(200, ge=20, le=5000, description="Gradient steps of an expert.")
    teacher_lr: float = Field(0.5, ge=1e-4, le=10, description="Step size of an expert, for features of mean norm 1.")
    snapshot_every: int = Field(10, ge=1, le=100, description="Expert's steps between two of its kept states.")
    hidden: int = Field(64, ge=8, le=512, description="Hidden units of experts and students.")
    expert_epochs: int = Field(50, ge=1, le=5000, description="Expert's steps from the student's start to its target.")
    syn_steps: int = Field(20, ge=1, le=2500, description="Student's steps on the synthetic nodes.")
    epochs: int = Field(32, ge=1, le=5000, description="Epochs of five matches.")
    lr_feat: float = Field(5e-3, ge=1e-6, le=1, description="Step size of Adam on features of mean norm 1.")
    init: Start = Field("k-means-prop", description="Where the nodes start, all of them in propagated features.")
    patience: int = Field(5, ge=1, le=100, description="Validations without a better one before stopping, of 8 in all.")


def followed(
    data: Graph,
    params: TrajectoryParams,
    method: str,
    ctx: Context,
    *,
    curriculum: str = "",
    easy: float = 1.0,
    window: int = 0,
    beta: float = 0.0,
    soft: bool = False,
    squared: bool = True,
) -> CondensedGraph:
    """The condensed graph that validates best along a run of trajectory matching. `window`: snapshots to start from in
    the beginning, all that leave room for a target when 0."""
    span = max(1, params.expert_epochs // params.snapshot_every)
    snapshots = params.teacher_epochs // params.snapshot_every
    last = snapshots + 1 - span
    if snapshots < 1:
        raise JobError(
            "invalid_input",
            f"Experts of {params.teacher_epochs} steps end before their first state is kept, after "
            f"{params.snapshot_every}.",
            hint=f"Set snapshot_every to at most {params.teacher_epochs}.",
            pointer="/params/snapshot_every",
        )
    if last < 1:
        raise JobError(
            "invalid_input",
            f"Experts of {params.teacher_epochs} steps end before a target {params.expert_epochs} steps after a start.",
            hint=f"Set expert_epochs to at most {params.teacher_epochs}.",
            pointer="/params/expert_epochs",
        )
    n = nodes_asked(
        data, params, bytes_per_node=bytes_per_node(data, filled=True) + (4 * data.n_classes if soft else 0)
    )
    seen = data.visible()

    def tick() -> None:
        ctx.progress(0, params.epochs, phase="prepare")

    tick()
    real = RealNodes.of(seen, ctx.device)
    shape = Shape(data.d, params.hidden, data.n_classes)
    training = Training(params.teacher_epochs, params.teacher_lr, params.snapshot_every, curriculum, easy)
    taught = experts(real, shape, training, params.experts, ctx)
    rows = propagated(seen.operator, seen.x, HOPS, seen.train, tick)
    x, y = start_nodes(seen, rows, n, params.init, ctx.rng, tick)
    settings = Trajectory(
        syn_steps=params.syn_steps, span=span, first=min(window or last, last), last=last, squared=squared, beta=beta,
        soft=soft, iterations=ITERATIONS, lr_student=params.teacher_lr * params.expert_epochs / params.syn_steps,
        lr_feat=params.lr_feat, lr_label=0.02, lr_step=0.01,
    )  # fmt: skip
    problem = TrajectoryMatching(
        taught, shape, torch.from_numpy(x).to(ctx.device), torch.from_numpy(y).to(ctx.device), real.scale, settings,
        ctx.seed,
    )  # fmt: skip
    learned = learn(problem, validator(data, ctx), ctx, WORDS, steps=params.epochs, patience=params.patience)
    best = learned.best
    given = None if best.soft is None else best.soft.cpu().numpy()
    return condensed(
        data, best.x.cpu().numpy(), best.y.cpu().numpy() if given is None else given.argmax(axis=1), method,
        params.model_dump() | {"epochs_done": learned.done}, ctx, soft=given, optimised_for="gcn",
        curve=tuple(learned.history), best_step=learned.step,
    )  # fmt: skip
