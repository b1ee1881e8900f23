"""Kernels that weigh a logged dose by how near it lies to the target's (Kallus and Zhou 2018, section 3).

Each integrates to 1 and is symmetric. `epanechnikov` has the least error for smooth rewards, `gaussian` no bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from worker.kinds.bandit.policies import Floats

Kernel = Literal["epanechnikov", "gaussian", "triangular", "cosine", "uniform"]


def _inside(u: Floats, values: Floats) -> Floats:
    return np.where(np.abs(u) <= 1, values, 0.0)


KERNELS: dict[Kernel, Callable[[Floats], Floats]] = {
    "epanechnikov": lambda u: _inside(u, 0.75 * (1 - u**2)),
    "gaussian": lambda u: np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi),
    "triangular": lambda u: _inside(u, 1 - np.abs(u)),
    "cosine": lambda u: _inside(u, np.pi / 4 * np.cos(np.pi / 2 * u)),
    "uniform": lambda u: _inside(u, np.full_like(u, 0.5)),
}


def kernel_weights(dose: Floats, target: Floats, density: Floats, bandwidth: float, kernel: Kernel) -> Floats:
    """K((target - dose) / h) / (h density) (n,), of mean 1 where the log reaches all doses around the target's."""
    return KERNELS[kernel]((target - dose) / bandwidth) / (bandwidth * density)
