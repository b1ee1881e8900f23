"""The digits 0 to 3 of scikit-learn, 8 x 8 pixels, thirty of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from tests.kinds.tiny import Tiny


def digits(classes: int = 10, each: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits as pixels uint8 (n, 8, 8) and classes (n,); the first `each` of every class, 0 for all."""
    found = load_digits()
    y = found.target
    rows = [np.flatnonzero(y == one)[: each or None] for one in range(classes)]
    chosen = np.sort(np.concatenate(rows))
    return np.rint(found.images[chosen] * (255 / 16)).astype(np.uint8), y[chosen]


def _upload(folder: Path) -> list[tuple[str, Path]]:
    x, y = digits(classes=4, each=30)
    np.savez(folder / "digits.npz", x=x, y=y)
    return [("digits.npz", folder / "digits.npz")]


def _loaded(summary: Any) -> tuple[str, float]:
    total = float(np.abs(summary.images.all().astype(np.float64)).sum() + summary.images.targets().sum())
    return "import load; print(abs(load.x.astype('f8')).sum() + load.targets.sum())", total


TINY = Tiny(
    _upload,
    _loaded,
    evaluate={
        "learners": ["convnet"],
        "baselines": ["random", "random-soft"],
        "seeds": 1,
        "steps": 5,
        "epochs": 1,
        "width": 8,
        "draws": 1,
        "bootstrap": 100,
    },
)
