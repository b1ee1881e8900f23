"""Predictions of a ridge regression on a summary, and losses of them.

pred(X_B) = K_BS (K_SS + lambda tr(K_SS) / |S| I)^-1 Y_S (KIP, arXiv:2011.00050, equation 4; ridge as in its code). The
kernel is given, so the same lines serve the tangent kernel of a wide perceptron (kip-fc), random convolutional features
(RFAD) and features of trained networks (FRePo). Everything in float64: a ridge of 1e-6 is below float32's noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worker.numerics.ridge import ridge_solve


def predict(across: Tensor, within: Tensor, labels: Tensor, ridge: float) -> Tensor:
    """Scores (b, C) float64 by kernels `across` (b, S) and `within` (S, S) and labels (S, C); differentiable."""
    return across.double() @ ridge_solve(within.double(), labels.double(), ridge)


def centred(y: Tensor, classes: int) -> Tensor:
    """One-hot classes less 1/C, float64 (n, C): what the regressions learn."""
    return torch.nn.functional.one_hot(y, classes).double() - 1 / classes


def squared_loss(scores: Tensor, y: Tensor) -> Tensor:
    """Half of the mean over images of ||scores - (one-hot - 1/C)||^2 (KIP, equation 3)."""
    return (scores - centred(y, scores.shape[1])).square().sum(1).mean() / 2


def platt_loss(scores: Tensor, y: Tensor, log_scale: Tensor) -> Tensor:
    """Cross-entropy of exp(log_scale) times the scores (RFAD, arXiv:2210.12067, section 3.3)."""
    return torch.nn.functional.cross_entropy(scores * log_scale.exp(), y)


def margin_term(labels: Tensor) -> Tensor:
    """Mean over rows of -min(top1 - top2, 1/C), in [-1/C, 0]: keeps learned labels (S, C) from flattening (FRePo's
    code)."""
    top = labels.topk(2, dim=1).values
    return -(top[:, 0] - top[:, 1]).clamp(max=1 / labels.shape[1]).mean()
