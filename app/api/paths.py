"""Names that users give to files. They are labels in the database and never become paths on a disk."""

from __future__ import annotations

import re
import unicodedata

from app.api.problems import Problem

_PATH = re.compile(r"[\w.@+-]+(/[\w.@+-]+){0,8}")
_LONGEST = 255


def checked_path(path: str) -> str:
    """The path, normalised; refused unless it is plain names between slashes."""
    path = unicodedata.normalize("NFC", path)
    parts = path.split("/")
    if not _PATH.fullmatch(path) or any(set(part) == {"."} for part in parts) or len(path.encode()) > _LONGEST:
        raise Problem("invalid_path", f"{path[:80]!r} cannot be the path of a file.", pointer="path")
    return path
