"""A target policy whose true gain over the logging policy is nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def no_gain(
    value: Callable[[np.ndarray], float], logging: np.ndarray, better: np.ndarray, worse: np.ndarray
) -> np.ndarray:
    """The mixture of a better and a worse policy that is worth what the logging policy is; all of one shape."""
    low, high, goal = 0.0, 1.0, value(logging)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if value(middle * better + (1 - middle) * worse) > goal else (middle, high)
    return low * better + (1 - low) * worse
