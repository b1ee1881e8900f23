"""How long a piece of work took and how much memory it needed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATM = Path("/proc/self/statm")
_EVERY_S = 0.01


@dataclass
class Usage:
    """Wall-clock seconds, and the highest resident memory (MB) seen above that at the start; None where unknown."""

    seconds: float = 0.0
    peak_mb: float | None = None


@contextmanager
def measured() -> Generator[Usage]:
    """Measure the block; the `Usage` is complete once the block has ended.

    Memory is sampled every 10 ms rather than read from the kernel's high-water mark, which cannot be reset without
    disturbing whoever supervises this process.
    """
    usage, stop = Usage(), threading.Event()
    before = _resident_mb()
    highest = [before or 0.0]

    def watch() -> None:
        while not stop.wait(_EVERY_S):
            highest[0] = max(highest[0], _resident_mb() or 0.0)

    watcher = threading.Thread(target=watch, daemon=True) if before is not None else None
    if watcher is not None:
        watcher.start()
    started = time.perf_counter()
    try:
        yield usage
    finally:
        usage.seconds = time.perf_counter() - started
        stop.set()
        if watcher is not None and before is not None:
            watcher.join()
            usage.peak_mb = max(highest[0], _resident_mb() or 0.0) - before


def _resident_mb() -> float | None:
    try:
        pages = int(_STATM.read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
