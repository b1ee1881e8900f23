"""What all methods of the kind share: progress while nobody can count steps, and at the end a condensed graph with its
size in every form and its warnings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.contract.product import Origin
from worker.kinds.graph import bundle
from worker.kinds.graph.budget import size_of
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import Features
from worker.kinds.graph.summary import CondensedGraph, Sees


def ticks(ctx: Context, phase: str) -> Callable[[], None]:
    """What work whose steps nobody can count calls now and then: progress, and where a stop is obeyed."""
    steps = iter(range(10**12))
    return lambda: ctx.progress(min(next(steps), 99), 100, phase=phase)


def condensed(
    graph: Graph,
    x: Features,
    y: np.ndarray,
    method: str,
    settings: Mapping[str, Any],
    ctx: Context,
    *,
    adjacency: sparse.csr_array | None = None,
    soft: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    source: np.ndarray | None = None,
    whole: bool = False,
    sees: Sees = "train",
    teacher: dict[str, np.ndarray] | None = None,
    optimised_for: str = "",
    curve: tuple[Mapping[str, float], ...] = (),
    best_step: int | None = None,
) -> CondensedGraph:
    """A condensed graph of `graph`, the whole one, grouped by class as given.

    The settings of its origin say what was given, and its size as nodes, share of train, share of all, and bytes.
    """
    plain = bundle.plain_bytes(bundle.arrays(x, adjacency, y, soft=soft, weight=weight))
    size = size_of(graph, len(y), plain).to_json() | {"all_nodes": graph.n, "train_nodes": len(graph.train)}
    known = {key: value for key, value in settings.items() if value is not None}
    origin = Origin(
        method,
        optimised_for=optimised_for,
        settings={**known, "seed": ctx.seed, "size": size},
        curve=curve,
        best_step=best_step,
    )
    return CondensedGraph(
        x=x,
        adjacency=adjacency,
        y=y,
        classes=graph.classes,
        soft=soft,
        weight=weight,
        source=source,
        transform=graph.transform,
        whole=whole,
        sees=sees,
        teacher=teacher,
        origin=origin,
        warnings=tuple(ctx.warnings),
    )
