"""The files of a service that is at work: some go while they are looked at, which is no error."""

import os
from collections.abc import Iterable
from pathlib import Path


def files_below(*folders: Path) -> list[Path]:
    """All files below some folders (unlike `rglob`, a walk bears that a folder goes meanwhile)."""
    return [Path(at, name) for folder in folders for at, _, names in os.walk(folder) for name in names]


def files_with(files: Iterable[Path], word: str) -> list[Path]:
    """Those that hold a word in their bytes or their name."""
    return [path for path in files if word in path.name or word.encode() in _bytes(path)]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() else b""  # a socket is none
    except FileNotFoundError:
        return b""
