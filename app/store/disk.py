"""How much room is left on the disk that files are written to."""

from __future__ import annotations

import shutil
from pathlib import Path


def short_of_disk(folder: Path, reserve_bytes: int) -> bool:
    """Whether less than 5 % of the disk (at most 10 GB of a huge one), or less than `reserve_bytes`, is free."""
    disk = shutil.disk_usage(folder)
    return disk.free < max(min(0.05 * disk.total, 10e9), reserve_bytes)
