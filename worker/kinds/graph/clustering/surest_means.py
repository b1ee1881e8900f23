"""One run of CGC up to its condensed nodes: probe, confidence, augmentation, parts, weighted means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from worker.kinds.graph.allocation import allocate
from worker.kinds.graph.budget import SizeParams
from worker.kinds.graph.clustering.cgc import (
    augmentation,
    confidence,
    least_squares,
    part_weights,
    parts_of,
    weighted_means,
)
from worker.kinds.graph.clustering.pseudo_labels import with_pseudo_labels
from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.propagation import powers

PROBE_HOPS = 2


class PseudoParams(SizeParams):
    """The size, and whether nodes without a label may take part."""

    pseudo_label: float = Field(
        0.0,
        ge=0,
        le=20,
        description="Nodes outside train, validation and test that join with a guessed label, for each train node.",
    )


class CGCParams(PseudoParams):
    """What both forms of CGC take."""

    partition: Literal["spectral", "kmeans"] = Field(
        "spectral", description="How a class is parted; spectral gives way to k-means above 60 parts a class."
    )
    aug_ratio: float = Field(
        0.0, ge=0, le=3, description="Extra rows, for each train node: one-hop features of classes known badly."
    )
    tau: float = Field(1.0, ge=0.005, le=50, description="Temperature of the weights of confidence within a part.")


@dataclass(frozen=True)
class Means:
    """`x`: float32 (n, d), weighted means of propagated rows; `y`: int64 (n,), rising."""

    x: np.ndarray
    y: np.ndarray


def surest_means(seen: Graph, n: int, params: CGCParams, rng: np.random.Generator, tick: Callable[[], None]) -> Means:
    """n weighted means of the labelled nodes of a visible graph; pseudo-labelled ones join before anything else."""
    nodes, y = with_pseudo_labels(seen, params.pseudo_label)
    hops = powers(seen.operator, seen.x, PROBE_HOPS, nodes, tick)
    probe = least_squares(np.mean(hops, axis=0), y, seen.n_classes)
    tick()
    extra = augmentation(hops[1], y, probe, params.aug_ratio, rng)
    rows = np.concatenate([hops[2], hops[1][extra]])
    sure = np.concatenate([confidence(hops[2], y, probe), confidence(hops[1], y, probe)[extra]])
    y = np.concatenate([y, y[extra]])
    counts = allocate(seen.train_counts, n)
    found = []
    for c, k in enumerate(counts.tolist()):
        own = y == c
        parts = parts_of(rows[own], k, params.partition, rng, tick)
        found.append(weighted_means(rows[own], parts, part_weights(parts, sure[own], params.tau)))
        tick()
    return Means(np.concatenate(found), np.repeat(np.arange(len(counts)), counts))
