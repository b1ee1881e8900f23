"""Policy convolution: smooth logging and target policy over similar actions, and weight rounds by their ratio."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.kinds.bandit.convolution.ball import ball
from worker.kinds.bandit.convolution.kernel import kernel
from worker.kinds.bandit.convolution.knn import knn
from worker.kinds.bandit.convolution.neighbours import Metric, action_points
from worker.kinds.bandit.convolution.smoothing import Convolution, Normalize, logged
from worker.kinds.bandit.convolution.tree import tree

Family = Literal["kernel", "tree", "ball", "knn"]
FAMILIES: tuple[Family, ...] = ("kernel", "tree", "ball", "knn")

__all__ = ["FAMILIES", "Convolution", "Family", "Normalize", "convolution", "logged"]


def convolution(
    family: Family,
    embeddings: NDArray[np.floating] | None,
    hierarchy: NDArray[np.integer] | None = None,
    *,
    taus: tuple[float, ...] | None = None,
    normalize: Normalize = "mass",
    metric: Metric = "euclidean",
    standardise: bool = True,
    device: str = "cpu",
) -> Convolution:
    """The path of one family over a grid `taus` in its own unit (None: its default grid), identity first.

    Units: kernel a bandwidth, ball a radius, knn a number of neighbours, tree a number of groups. A tree uses the
    `hierarchy` (levels, A) where there is one. Raises `embedding_required`.
    """
    if family == "tree" and hierarchy is not None and taus is None:
        return tree(hierarchy=hierarchy)
    if embeddings is None:
        raise JobError(
            "embedding_required",
            f"The {family} convolution needs action embeddings.",
            hint="Upload `action_embeddings`, or `action_hierarchy` and use the tree.",
        )
    points = action_points(embeddings, metric, standardise)
    if family == "tree":
        return tree(points, groups=None if taus is None else tuple(int(tau) for tau in taus))
    if family == "knn":
        ks = None if taus is None else tuple(int(tau) for tau in taus)
        return knn(points, ks, normalize=normalize, device=device)
    build = kernel if family == "kernel" else ball
    return build(points, taus, normalize=normalize, device=device)
