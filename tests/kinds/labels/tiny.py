"""A made-up catalogue of 400 documents and 40 labels, as raw files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.kinds.labels.planted import raw_files
from tests.kinds.tiny import Tiny


def _upload(folder: Path) -> list[tuple[str, Path]]:
    return raw_files(folder)


def _loaded(summary: Any) -> tuple[str, float]:
    documents = summary.documents
    total = float(documents.targets.sum() + documents.weights.sum() + sum(map(len, documents.bodies)))
    return "import load; print(load.labels.sum() + load.weights.sum() + sum(map(len, load.bodies)))", total


TINY = Tiny(
    _upload,
    _loaded,
    evaluate={"learners": ["most-frequent", "centroid"], "draws": 2, "bootstrap": 100},
)
