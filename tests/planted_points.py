"""Points in the plane around a centre of each label."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def points_csv(path: Path, *, points: int = 400, seed: int = 0) -> Path:
    """Write a csv lon,lat,species with three labels in turn, at centres that are three standard deviations apart."""
    number = np.arange(points) % 3
    at = np.random.default_rng(seed).normal(size=(points, 2)) + np.array([[0, 0], [3, 0], [0, 3]])[number]
    rows = [f"{x:.4f},{y:.4f},{'abc'[label]}" for (x, y), label in zip(at, number, strict=True)]
    path.write_text("\n".join(["lon,lat,species", *rows]) + "\n")
    return path
