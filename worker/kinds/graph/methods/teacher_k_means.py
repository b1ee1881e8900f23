"""teacher-k-means: directions of propagated features of ALL nodes, clustered by the class a teacher gives them.

A GRAND teacher (`worker.kinds.graph.networks.grand`) learns from the train labels; its predictions part all nodes into
classes; spherical k-means parts each class; a condensed node is the mean of the propagated features of its part, not
scaled to norm 1, with the mean of the teacher's predictions as its soft label and no edges. Several teachers are
averaged, since one that stopped badly costs about a point.

Transductive: features of held-out nodes are used, their labels are not, so it is never a like for like of a method that
sees the train nodes alone. It trains on the whole graph, so it saves nothing to who trains one model; the teacher is
delivered and measured beside it. Ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Term, method
from worker.kinds.graph.allocation import nearest
from worker.kinds.graph.budget import SizeParams, nodes_asked
from worker.kinds.graph.clustering.kmeans import means, spherical
from worker.kinds.graph.dataset import VALIDATION, Graph
from worker.kinds.graph.held import held_out
from worker.kinds.graph.making import condensed
from worker.kinds.graph.propagation import propagated
from worker.kinds.graph.selection import bytes_per_node
from worker.kinds.graph.summary import CondensedGraph

LARGE = 10_000  # nodes from which the teacher takes fewer, longer steps


class TeacherKMeansParams(SizeParams):
    """Parameters of `teacher-k-means`."""

    teachers: int = Field(2, ge=1, le=5, description="Teachers whose predictions are averaged.")
    teacher_hops: int | None = Field(
        None, ge=1, le=20, description="Steps of propagation of the teacher; null: 8, from 10,000 nodes on 5."
    )
    teacher_epochs: int | None = Field(
        None, ge=10, le=5000, description="Epochs of the teacher; null: 300, from 10,000 nodes on 120."
    )
    temperature: float | None = Field(
        None, gt=0.01, le=1, description="Sharpening of the teacher's mean prediction; null: 0.5, from 10,000 on 0.2."
    )
    rate: float | None = Field(
        None, gt=1e-5, le=1, description="Step size of the teacher; null: 0.01, from 10,000 nodes on 0.05."
    )
    hops: int = Field(2, ge=1, le=5, description="Steps of propagation of the features that are clustered.")


# Measured on Cora and PubMed.
COST = Cost(
    seconds=(Term(3.0), Term(2.0e-3, {"nodes": 1})),
    memory_mb=(Term(500.0), Term(2.5e-5, {"nodes": 1, "features": 1}), Term(1e-3, {"nodes": 1})),
)


@method(kind="graph", task="distil", name="teacher-k-means", version=1, device="any", memory_mb=2048, cost=COST)
def teacher_k_means(data: Graph, params: TeacherKMeansParams, ctx: Context) -> CondensedGraph:
    """Clusters of all nodes by a teacher's classes, with its soft labels; transductive, under a minute."""
    if data.setting != "transductive":
        raise JobError(
            "invalid_input",
            "teacher-k-means looks at all nodes, which the setting inductive forbids.",
            hint="Use k-means-prop, or upload the graph with setting=transductive.",
            pointer="/method",
        )
    n = nodes_asked(
        data, params, bytes_per_node=bytes_per_node(data, filled=True) + 4 * data.n_classes, most=data.n - 1
    )
    seen = data.visible()
    p, teacher = taught(data, seen, params, ctx)
    rows = propagated(seen.operator, seen.x, params.hops, tick=lambda: ctx.progress(90, 100, phase="cluster"))
    x, soft = clustered(rows, _with_every_class(p, seen), n, ctx)
    settings: dict[str, Any] = params.model_dump()
    return condensed(
        data, x, soft.argmax(axis=1), "teacher-k-means", settings, ctx, soft=soft, sees="all", teacher=teacher
    )


def taught(
    data: Graph, seen: Graph, params: TeacherKMeansParams, ctx: Context
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Mean predictions of the teachers (N, C) float32, and their parameters, named by their numbers."""
    from worker.kinds.graph.networks.grand import Recipe, probabilities, train  # torch, which nothing else here needs

    usual = Recipe() if data.n < LARGE else Recipe(5, 0.2, 0.05, 120)
    recipe = Recipe(
        params.teacher_hops or usual.hops,
        params.temperature or usual.temperature,
        params.rate or usual.rate,
        params.teacher_epochs or usual.epochs,
    )
    validation = held_out(data, VALIDATION, hops=recipe.hops)
    total = np.zeros((data.n, data.n_classes), np.float32)
    parameters: dict[str, np.ndarray] = {}
    for number in range(params.teachers):
        with ctx.part(f"teacher {number}", number, params.teachers + 1) as part:
            point = part.restore()
            if point is not None and point.done:
                found = point.arrays
            else:
                found = train(seen, validation if len(validation) else None, recipe, part)
                part.finish(found, {})
        total += probabilities(found, seen.x, seen.operator)
        parameters |= {f"{number}/{name}": value for name, value in found.items()}
    return total / params.teachers, parameters


def _with_every_class(p: np.ndarray, seen: Graph) -> np.ndarray:
    """The predictions (N, C); of a class that is predicted nowhere its train nodes have their label."""
    absent = np.setdiff1d(np.arange(p.shape[1]), p.argmax(axis=1))
    lost = seen.train[np.isin(seen.y[seen.train], absent)]
    found = p.copy()
    found[lost] = np.eye(p.shape[1], dtype=p.dtype)[seen.y[lost]]
    return found


def clustered(rows: np.ndarray, p: np.ndarray, n: int, ctx: Context) -> tuple[np.ndarray, np.ndarray]:
    """n condensed nodes, float32 (n, d) features and (n, C) soft labels, grouped by predicted class.

    `rows`: propagated features of all nodes (N, d); `p`: predictions (N, C).
    """
    predicted, rng = p.argmax(axis=1), ctx.rng
    counts = nearest(np.bincount(predicted, minlength=p.shape[1]), n)
    x, soft = [], []
    for c, k in enumerate(counts.tolist()):
        if not k:
            continue
        nodes = np.flatnonzero(predicted == c)
        run = spherical(rows[nodes], k, rng, tick=lambda: ctx.progress(95, 100, phase="cluster"))
        x.append(means(rows[nodes], run.assignment, k))
        soft.append(means(p[nodes], run.assignment, k))
    found = np.concatenate(soft)
    return np.concatenate(x), found / found.sum(axis=1, keepdims=True)
