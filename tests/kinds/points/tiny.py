"""Points around three centres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.kinds.tiny import Tiny
from tests.planted_points import points_csv


def _upload(folder: Path) -> list[tuple[str, Path]]:
    return [("points.csv", points_csv(folder / "points.csv"))]


def _loaded(summary: Any) -> tuple[str, float]:
    return "import load; print(load.at.sum())", float(summary.points.at.sum())


TINY = Tiny(
    _upload,
    _loaded,
    options={"columns": {"x": "lon", "y": "lat", "label": "species"}},
    evaluate={"draws": 2, "bootstrap": 100},
)
