"""The tiny digits as a dataset."""

from __future__ import annotations

from pathlib import Path

from tests.kinds.images.tiny import TINY
from worker.contract.context import Context
from worker.kinds.images import KIND
from worker.kinds.images.dataset import Images


def small_digits(folder: Path) -> Images:
    """Four classes of thirty images of 8 x 8 pixels, ingested below `folder`."""
    (folder / "upload").mkdir(exist_ok=True)
    KIND.ingest.run(TINY.upload(folder / "upload"), TINY.options, folder / "canonical", Context(), {})
    return KIND.load(folder / "canonical")
