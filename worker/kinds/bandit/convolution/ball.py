"""Ball convolution: every action shares its mass evenly with all actions within a radius (arXiv:2310.15433)."""

from __future__ import annotations

import numpy as np
import torch

from worker.kinds.bandit.convolution.metric import MetricPath
from worker.kinds.bandit.convolution.neighbours import sampled_distances, tie_tolerance
from worker.kinds.bandit.convolution.smoothing import Normalize
from worker.kinds.bandit.policies import Floats

SHARES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)


def ball(
    points: Floats, radii: tuple[float, ...] | None = None, *, normalize: Normalize = "mass", device: str = "cpu"
) -> MetricPath:
    """S_t from K = 1[d <= t]; by default radii that hold 0.1 % to 30 % of the pairs of actions.

    A radius below the least distance is the identity; an action at distance t exactly belongs to the ball.
    """
    if radii is None:
        distances = sampled_distances(points)
        radii = tuple(np.quantile(distances, SHARES).tolist()) if len(distances) else ()
    taus = (0.0, *sorted(set(radii)))
    slack = tie_tolerance(points)

    def profile(squares: torch.Tensor, level: int) -> torch.Tensor:
        return (squares <= taus[level] ** 2 + slack).to(squares.dtype)

    return MetricPath("ball", taus, points, profile, normalize, device)
