"""How much room is left on the disk that files are written to."""

from __future__ import annotations

import shutil
from pathlib import Path


def short_of_disk(folder: Path) -> bool:
    """Whether less than 5 % of the disk (at most 10 GB of a huge one), or 2 GB, are free."""
    disk = shutil.disk_usage(folder)
    return disk.free < max(min(0.05 * disk.total, 10e9), 2e9)
