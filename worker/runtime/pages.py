"""Give memory back that only importing needed (Linux; elsewhere nothing happens).

Importing torch touches some 120 MB of its libraries' files, pages that nobody has written to. A process that waits need
not hold them: whoever touches one again has it back from the page cache.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ (\d+)")
_DONTNEED = 4


def release_untouched() -> None:
    """Let go of every mapping of a file in which no page is this process's own."""
    libc = ctypes.CDLL(None)
    for start, end in _clean_mappings():
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DONTNEED)


def _clean_mappings() -> list[tuple[int, int]]:
    try:
        lines = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return list(_clean(iter(lines)))


def _clean(lines: Iterator[str]) -> Iterator[tuple[int, int]]:
    # A mapping's own pages, which exist nowhere else, are called anonymous, whatever file it is of.
    span, of_a_file = (0, 0), False
    for line in lines:
        if found := _MAPPING.match(line):
            span, of_a_file = (int(found[1], 16), int(found[2], 16)), found[3] != "0"
        elif line.startswith("Anonymous:") and of_a_file and line.split()[1] == "0":
            yield span
