"""How numbers are spread, as statistics of a dataset show it."""

from __future__ import annotations

import numpy as np


def spread(values: np.ndarray) -> dict[str, float]:
    """{mean, min, p10, median, p90, max} of numbers (n,); nothing of none."""
    if not len(values):
        return {}
    names = ("min", "p10", "median", "p90", "max")
    ends = np.quantile(values, (0, 0.1, 0.5, 0.9, 1))
    return {"mean": float(values.mean())} | {name: float(end) for name, end in zip(names, ends, strict=True)}
