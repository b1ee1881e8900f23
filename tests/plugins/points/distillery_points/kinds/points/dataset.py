"""Labelled points in memory and as canonical files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worker.numerics.npz import npz_bytes

TRAIN, VALIDATION, TEST = 0, 1, 2
PARTS = ("train", "validation", "test")
FILE = "points.npz"


@dataclass(frozen=True)
class Points:
    """`at`: float64 (n, 2); `label`: int32 (n,), numbers into `labels`, text (k,); `split`: int8 (n,), see `PARTS`."""

    at: np.ndarray
    label: np.ndarray
    labels: np.ndarray
    split: np.ndarray

    def __len__(self) -> int:
        return len(self.at)

    def part(self, code: int) -> Points:
        """The points of one part of the split."""
        return self.take(np.flatnonzero(self.split == code))

    def take(self, rows: np.ndarray) -> Points:
        """These points, in this order."""
        return Points(self.at[rows], self.label[rows], self.labels, self.split[rows])

    def for_training(self) -> Points:
        """The same points, all of them in the training part."""
        return Points(self.at, self.label, self.labels, np.full(len(self), TRAIN, np.int8))

    def packed(self) -> bytes:
        """The canonical file."""
        return npz_bytes({"at": self.at, "label": self.label, "labels": self.labels, "split": self.split})


def save(points: Points, folder: Path) -> None:
    """Write the canonical files."""
    (folder / FILE).write_bytes(points.packed())


def load(folder: Path) -> Points:
    """Read the canonical files."""
    with np.load(folder / FILE) as stored:
        return Points(stored["at"], stored["label"], stored["labels"], stored["split"])


def describe(folder: Path) -> dict[str, Any]:
    """{statistics, preview, warnings} of canonical files."""
    points = load(folder)
    sizes = {name: int((points.split == code).sum()) for code, name in enumerate(PARTS)}
    first = zip(points.at[:20].tolist(), points.labels[points.label[:20]].tolist(), strict=True)
    return {
        "statistics": {"points": len(points), "labels": len(points.labels), **sizes},
        "preview": [{"x": x, "y": y, "label": label} for (x, y), label in first],
        "warnings": [],
    }
