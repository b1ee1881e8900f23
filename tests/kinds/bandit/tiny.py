"""A planted log of 600 decisions."""

from __future__ import annotations

from pathlib import Path

from tests.planted_bandit import tiny_bandit


def build(folder: Path) -> Path:
    """Write the canonical files below `folder` and return where they lie."""
    return tiny_bandit(folder)
