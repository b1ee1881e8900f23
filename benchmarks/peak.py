"""How far a process's resident memory rises while something runs. Linux alone: the kernel keeps the high-water mark."""

from __future__ import annotations

from pathlib import Path


class Peak:
    """Begins where it is made. A child starts with its parent's mark, so that getrusage would say nothing of a short
    step: the mark is set back here."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self._before = _resident_mb("VmRSS")

    def mb(self) -> float:
        """The highest resident memory since then, over what it was then, in 10^6 bytes."""
        return round(_resident_mb("VmHWM") - self._before, 1)


def _resident_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024 / 1e6
