"""Soft labels: losses against them, and the temperature that a teacher's logits are softened with.

Labels that say more than a class are most of what a small set can teach (Qin et al., "A Label is Worth a Thousand
Images in Dataset Distillation", arXiv:2406.10485); how soft they should be depends on the size of the set, so the
temperature is chosen on validation data.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def softened(logits: Tensor, temperature: float) -> Tensor:
    """softmax(z / T), (n, C)."""
    return torch.softmax(logits / temperature, dim=1)


def cross_entropy(logits: Tensor, q: Tensor) -> Tensor:
    """Mean over the batch of -sum_k q_k log p_k; `q` (n, C) are probabilities."""
    return -(q * torch.log_softmax(logits, dim=1)).sum(dim=1).mean()


def distillation_loss(student: Tensor, teacher: Tensor, y: Tensor, share: float, temperature: float) -> Tensor:
    """(1 - a) CE(student, y) + a T^2 KL(softmax(z_T / T) || softmax(z_S / T)), means over the batch (Hinton et al.,
    arXiv:1503.02531, section 2); a is `share`. T^2 keeps the size of the gradient, which is T (p_S - p_T) / n.

    `student`, `teacher`: logits (n, C); `y` int64 (n,).
    """
    log_s = torch.log_softmax(student / temperature, dim=1)
    log_t = torch.log_softmax(teacher / temperature, dim=1)
    kl = (log_t.exp() * (log_t - log_s)).sum(dim=1).mean()
    return (1 - share) * torch.nn.functional.cross_entropy(student, y) + share * temperature**2 * kl


def entropy(q: np.ndarray) -> np.ndarray:
    """Entropy in nats of probabilities (n, C), float64 (n,)."""
    q = q.astype(np.float64)
    return -(q * np.log(np.where(q > 0, q, 1))).sum(axis=1)
