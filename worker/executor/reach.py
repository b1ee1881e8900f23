"""Whether another machine sees the files that a shard names, and the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worker.contract.errors import JobError

_FOLDER = -1


def files_of(value: Any) -> dict[str, int]:
    """The files and folders that a function or a shard names by `Path`, and their sizes in bytes as seen from here."""
    return {str(path): size for path in _paths(value, set()) if (size := _size(path)) is not None}


def check(files: Mapping[str, int]) -> None:
    """JobError `executor_unavailable` unless every one of them is here, too, and as large."""
    for name, size in files.items():
        if (here := _size(Path(name))) != size:
            found = "is missing" if here is None else "is another one"
            raise JobError(
                "executor_unavailable",
                f"A process of the executor cannot see the data: {name} {found} on its machine.",
                hint="Ask the operator to mount DISTILLERY_BLOB_DIR and DISTILLERY_STAGING_DIR under the same paths on "
                "every machine of the executor.",
            )


def _size(path: Path) -> int | None:
    try:
        return _FOLDER if path.is_dir() else path.stat().st_size
    except OSError:
        return None


def _paths(value: Any, seen: set[int]) -> Iterable[Path]:
    if isinstance(value, Path):
        yield value
    if isinstance(value, Path | str | bytes | int | float | type | np.ndarray | None) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        inside = value.values()
    elif isinstance(value, tuple | list | set | frozenset):
        inside = value
    else:
        inside = getattr(value, "__dict__", {}).values()
    for one in inside:
        yield from _paths(one, seen)
