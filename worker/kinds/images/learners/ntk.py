"""Ridge regression with the kernel of an infinitely wide perceptron: no training, and what `kip-fc` optimises.

K is the neural tangent kernel of a network with one hidden ReLU layer (Jacot et al. 2018), the scores of x are
K(x, S) (K(S, S) + lambda tr(K)/n I)^-1 Y with Y the centred classes, as in KIP (arXiv:2011.00050, section 2). Of more
than 4,000 images, 4,000 are taken, alike of all classes, since n^2 kernels do not fit for more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Settings, learner
from worker.kinds.images.fitting import blocks
from worker.kinds.images.image_set import ImageSet, as_probabilities
from worker.numerics.ntk import ntk
from worker.numerics.ridge import NotPositiveDefinite, factorise

MOST = 4_000
_AHEAD = 1024


@dataclass(frozen=True)
class KernelClassifier:
    """`x` float64 (n, d), what was learned from, and `alpha` (n, C)."""

    x: Tensor
    alpha: Tensor
    seen: ImageSet

    def probabilities(self, asked: ImageSet) -> np.ndarray:
        """float (n, C) for images as stored."""
        images, found = asked.under(self.seen.encoding), []
        for numbers in blocks(len(images), _AHEAD):
            rows = torch.from_numpy(images.batch(numbers)).flatten(1).to(self.x)
            found.append((ntk(rows, self.x) @ self.alpha).cpu().numpy())
        return as_probabilities(np.concatenate(found), "logits" if self.seen.loss == "logits" else "mse")


@dataclass(frozen=True)
class KernelFit:
    """The kernel of a set, computed once for all ridges."""

    x: Tensor
    kernel: Tensor
    targets: Tensor
    seen: ImageSet

    def fit(self, settings: Settings, ctx: Context) -> KernelClassifier:
        """The regression at this ridge."""
        ctx.progress(0, 1)
        try:
            factor = factorise(self.kernel, float(settings["ridge"]))
        except NotPositiveDefinite as singular:
            raise JobError("diverged", f"{singular}.") from singular
        return KernelClassifier(self.x, factor.solve(self.targets).to(self.x), self.seen)


@learner(
    kind="images",
    name="ntk",
    label="NTK",
    note="Of more than 4,000 images it learns from 4,000, alike of all classes.",
    settings=({"ridge": 1e-6}, {"ridge": 1e-3}),
)
def kernel_ridge(images: ImageSet, params: Any, ctx: Context) -> KernelFit:
    """Kernel ridge regression; images count alike."""
    images = _some(images)
    ctx.progress(0, 2)
    x = torch.from_numpy(images.all()).flatten(1).to(ctx.device, torch.float64)
    kernel = ntk(x)
    ctx.progress(1, 2)
    targets = images.targets().astype(np.float64)
    if images.loss == "cross-entropy":
        targets = targets - 1 / images.classes
    return KernelFit(x, kernel, torch.from_numpy(targets).to(x), images)


def _some(images: ImageSet) -> ImageSet:
    """All of them, or 4,000, the first drawn of every class."""
    if len(images) <= MOST:
        return images
    order = np.random.default_rng(0).permutation(len(images))
    rank = np.empty(len(images), np.int64)
    for one in range(images.classes):
        own = order[images.y[order] == one]
        rank[own] = np.arange(len(own))
    return images.take(np.sort(order[np.argsort(rank[order], kind="stable")][:MOST]))
