"""Real datasets that may not be redistributed: used when they lie beside the clone, skipped otherwise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE_THE_CLONE = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared(name: str) -> Path:
    """The folder of a shared dataset; skips the calling test when it is absent."""
    folder = Path(os.environ.get("DISTILLERY_SHARED_DATA", _BESIDE_THE_CLONE)) / name
    if not folder.is_dir():
        pytest.skip(f"dataset {name} is not beside this clone and may not be redistributed")
    return folder
