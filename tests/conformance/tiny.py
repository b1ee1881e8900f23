"""The tiny dataset of each kind that every method must manage with its defaults."""

from __future__ import annotations

from pathlib import Path

from tests.planted import planted_csv
from worker.runtime.context import Context
from worker.runtime.registry import load_kind


def tiny(kind: str, folder: Path) -> Path:
    """Write the kind's tiny dataset and return the folder of its canonical files."""
    source = _SOURCES[kind](folder)
    canonical = folder / "canonical"
    canonical.mkdir()
    load_kind(kind).ingest([(source.name, source)], {}, canonical, Context(), {})
    return canonical


def _interactions(folder: Path) -> Path:
    # More users than the default budget of 500, and rows long enough for learned ones.
    return planted_csv(folder / "planted.csv", users=700, items=60)


_SOURCES = {"interactions": _interactions}
