"""Kernel convolution: every action shares its mass by a Gaussian of the distance (arXiv:2310.15433)."""

from __future__ import annotations

import numpy as np
import torch

from worker.kinds.bandit.convolution.metric import MetricPath
from worker.kinds.bandit.convolution.neighbours import sampled_distances
from worker.kinds.bandit.convolution.smoothing import Normalize
from worker.kinds.bandit.policies import Floats

BANDWIDTHS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


def kernel(
    points: Floats, bandwidths: tuple[float, ...] | None = None, *, normalize: Normalize = "mass", device: str = "cpu"
) -> MetricPath:
    """S_t from K = exp(-d^2 / (2 h^2)); by default h is 5 % to 100 % of the median distance between actions.

    h towards 0 is the identity, h towards infinity the uniform policy.
    """
    if bandwidths is None:
        distances = sampled_distances(points)
        median = float(np.median(distances)) if len(distances) else 1.0
        bandwidths = tuple(share * median for share in BANDWIDTHS if median > 0)
    taus = (0.0, *sorted(h for h in bandwidths if h > 0))

    def profile(squares: torch.Tensor, level: int) -> torch.Tensor:
        return torch.exp(squares * (-0.5 / taus[level] ** 2))

    return MetricPath("kernel", taus, points, profile, normalize, device)
