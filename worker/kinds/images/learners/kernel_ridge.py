"""A ridge regression in the tangent kernel of an infinitely wide perceptron: what `kip-fc` makes images for.

Scores are K(x, X) (K(X, X) + lambda tr(K)/n I)^-1 Y with Y one-hot less 1/C, or the scores that a summary delivers
(arXiv:2011.00050, equation 4). Of more than 5,000 images as many are drawn at random, since it costs their cube.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.images.fitting import blocks
from worker.kinds.images.image_set import ImageSet
from worker.numerics.ntk import ntk
from worker.numerics.ridge import solve

MOST = 5_000
_AHEAD = 1_000
_SHARP = 10.0  # turns scores, which differ by about 1, into probabilities


@dataclass(frozen=True)
class KernelRidge:
    """`rows` float64 (n, d), `alpha` (n, C)."""

    seen: ImageSet
    rows: Tensor
    alpha: Tensor

    def probabilities(self, asked: ImageSet) -> np.ndarray:
        """The softmax of the sharpened scores."""
        images, found = asked.under(self.seen.encoding), [np.zeros((0, asked.classes))]
        for numbers in blocks(len(images), _AHEAD):
            x = torch.from_numpy(images.batch(numbers)).to(self.rows.device).flatten(1).double()
            found.append(torch.softmax(_SHARP * (ntk(x, self.rows) @ self.alpha), 1).cpu().numpy())
        return np.concatenate(found)


@dataclass(frozen=True)
class _Kernel:
    """The kernel of a set, factorised at each ridge."""

    images: ImageSet
    rows: Tensor
    kernel: Tensor
    labels: Tensor

    def fit(self, settings: Settings, ctx: Context) -> KernelRidge:
        """The regression at this ridge."""
        ctx.progress(0, 1)
        return KernelRidge(self.images, self.rows, solve(self.kernel, self.labels, float(settings["ridge"])))


@learner(
    kind="images",
    name="kernel-ridge",
    label="ridge in the NTK (5,000 images at most)",
    settings=({"ridge": 1e-6}, {"ridge": 1e-3}, {"ridge": 1e-1}),
)
def kernel_ridge(images: ImageSet, params: Any, ctx: Context) -> _Kernel:
    """Ridge regression in the tangent kernel of a perceptron with one hidden layer."""
    taken = images
    if len(images) > MOST:
        taken = images.take(np.sort(ctx.rng.choice(len(images), MOST, replace=False)))
    rows = torch.from_numpy(taken.all()).to(ctx.device).flatten(1).double()
    labels = torch.from_numpy(taken.targets()).to(rows)
    if taken.soft is None or taken.loss == "cross-entropy":
        labels = labels - 1 / taken.classes
    return _Kernel(taken, rows, ntk(rows), labels)
