"""Log files of bounded size: `<part>.log` and one older `<part>.log.1`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import IO

CAP_BYTES = 5_000_000


def open_log(path: Path) -> IO[bytes]:
    """A part's log, to be handed to its process: unbuffered, always written at its end."""
    return path.open("ab", buffering=0)


def cap(path: Path, cap_bytes: int = CAP_BYTES) -> bool:
    """Move a log's content to `<name>.1` and empty it when it is larger than the cap; True when it was.

    The process goes on writing through its open file (which appends, so it continues at the new end); a line
    written between the copy and the cut is lost, which a log can bear and a pipe to us would not be worth.
    """
    try:
        if path.stat().st_size <= cap_bytes:
            return False
        shutil.copyfile(path, path.with_name(path.name + ".1"))
        with path.open("r+b") as file:
            file.truncate(0)
    except OSError:  # a full disk must not stop the supervisor
        return False
    return True


def tail(path: Path, limit_bytes: int = 2_000) -> str:
    """The last part of a log as text."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - limit_bytes))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""
