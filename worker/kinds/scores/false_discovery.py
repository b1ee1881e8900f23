"""Benjamini and Hochberg, "Controlling the false discovery rate" (JRSS B, 1995)."""

from __future__ import annotations

import numpy as np


def adjusted(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values (K,) in [0, 1]: those of at most q are discoveries at the false discovery rate q.

    NaN stays NaN and is not counted among the tests.
    """
    out = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    if not len(known):
        return out
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    out[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return out
