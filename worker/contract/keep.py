"""Durable files of an attempt: appended one after the other, never changed, found again by whoever resumes the job.

For what is too large to be rewritten with every resume point: expert trajectories, scores of millions of documents.
An entry is as a function of its number, so resuming is one loop:

    kept = ctx.keep("experts")
    for number in range(len(kept), wanted):
        kept.append(train_expert(number))
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

_ARRAYS = ".safetensors"


class Keep:
    """The entries below `folder`, in the order in which they were appended; `appended` hears of every new file."""

    def __init__(self, folder: Path, appended: Callable[[Path], None] = lambda _: None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._appended = appended

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self.files())

    def files(self) -> list[Path]:
        """The file of every entry, in order."""
        return sorted(path for path in self._folder.iterdir() if path.is_file() and path.suffix != ".partial")

    def append(self, arrays: Mapping[str, Any]) -> None:
        """Add an entry of named arrays or tensors, any shapes and dtypes; it is on the disk when this returns."""
        contiguous = {name: np.asarray(to_numpy(value), order="C") for name, value in arrays.items()}
        self._add(_ARRAYS, lambda partial: save_file(contiguous, partial))

    def append_file(self, source: Path) -> None:
        """Add a copy of a file as an entry."""
        self._add(source.suffix or ".bin", lambda partial: shutil.copyfile(source, partial))

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        """The entries that are arrays, in order; read when they are asked for."""
        for path in self.files():
            if path.suffix == _ARRAYS:
                with safe_open(path, "numpy") as stored:
                    yield {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118

    def _add(self, suffix: str, write: Callable[[Path], object]) -> None:
        path = self._folder / f"{len(self):08d}{suffix}"
        partial = path.with_suffix(".partial")
        write(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(path)
        self._appended(path)


def to_numpy(value: Any) -> np.ndarray:
    """A tensor of any device, or anything array-like, as a numpy array."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
