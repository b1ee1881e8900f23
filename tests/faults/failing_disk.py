"""Let calls of the operating system fail for want of room, for as long as a file says so."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = {"fsync": ("fsync",), "rename": ("rename", "replace"), "mkdir": ("mkdir",)}


def fail_when_told(folder: Path | str) -> None:
    """While `folder` holds a file named after one of `CALLS`, that call of this process raises ENOSPC."""
    for told, names in CALLS.items():
        for name in names:
            setattr(os, name, _failing(getattr(os, name), Path(folder) / told))


def _failing(call: Callable[..., Any], told: Path) -> Callable[..., Any]:
    def failing(*args: Any, **kwargs: Any) -> Any:
        if told.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return call(*args, **kwargs)

    return failing
