"""Planted interactions with more users than the default budget of 500, and rows long enough for learned ones."""

from __future__ import annotations

from pathlib import Path

from worker.runtime.context import Context

from tests.planted import planted_csv
from worker.runtime.registry import load_kind


def build(folder: Path) -> Path:
    """Write the canonical files below `folder` and return where they lie."""
    source = planted_csv(folder / "planted.csv", users=700, items=60)
    canonical = folder / "canonical"
    canonical.mkdir()
    load_kind("interactions").ingest([(source.name, source)], {}, canonical, Context(), {})
    return canonical
