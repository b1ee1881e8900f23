"""A planted graph of 240 nodes in three classes, most of whose edges stay within a class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.kinds.tiny import Tiny
from tests.planted_graph import as_npz, planted
from worker.kinds.graph.features import dense


def _upload(folder: Path) -> list[tuple[str, Path]]:
    return [("graph.npz", as_npz(planted(240, classes=3, features=12), folder / "graph.npz"))]


def _loaded(summary: Any) -> tuple[str, float]:
    return "import load; print(float(load.x.astype('f8').sum()))", float(dense(summary.x).astype(np.float64).sum())


TINY = Tiny(
    _upload,
    _loaded,
    evaluate={"learners": ["gcn", "majority"], "runs": 1, "epochs": 30, "draws": 2, "bootstrap": 100},
)
