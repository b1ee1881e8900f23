"""What every form of upload is read as: images as they come, each with its class and what it was called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worker.contract.errors import JobError


@dataclass(frozen=True)
class Piece:
    """Images that come together. `pixels`: uint8 (b, h, w, c), c = 1 or 3; `labels`: words, or numbers (b,); `names`:
    what each was called; `part`: of the split, one for all, None where the upload says nothing."""

    pixels: np.ndarray
    labels: Sequence[str] | np.ndarray
    names: Sequence[str]
    part: int | None = None


@dataclass(frozen=True)
class Found:
    """An upload recognised. `names`: of the classes, where labels are numbers into them; `ignored`: files not read."""

    layout: str
    files: tuple[str, ...]
    pieces: Iterator[Piece]
    names: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def refuse(detail: str, hint: str, pointer: str = "/files", code: str = "invalid_input") -> JobError:
    """The refusal of an upload."""
    return JobError(code, detail, hint=hint, pointer=pointer)
