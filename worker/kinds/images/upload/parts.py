"""Which part of a split a folder, a file or an array is for, by its name."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from worker.kinds.images.dataset import TEST, TRAIN, VALIDATION

PART_NAMES = {
    "train": TRAIN, "training": TRAIN,
    "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "dev": VALIDATION,
    "test": TEST, "testing": TEST, "t10k": TEST,
}  # fmt: skip
"""What parts of a split are called."""


def part_of(name: str) -> int | None:
    """The part that a whole name says, such as that of a folder; None for a name that says none."""
    return PART_NAMES.get(name.strip().lower())


def part_in(name: str) -> int | None:
    """The part that one word of a name says, as in `train-00000-of-00001.parquet`; None for none, or for several."""
    found = {PART_NAMES[word] for word in re.split(r"[^a-z0-9]+", name.lower()) if word in PART_NAMES}
    return found.pop() if len(found) == 1 else None


def part_of_file(name: str) -> int | None:
    """The part that the name of a file of many images says, else that of a folder around it, the innermost first."""
    found = (part_in(word) for word in reversed(PurePosixPath(name).parts))
    return next((part for part in found if part is not None), None)


def part_of_path(name: str) -> int | None:
    """The part that a folder around an image is named as, the outermost first; a folder of a class may hold such a
    word among others."""
    found = (part_of(folder) for folder in PurePosixPath(name).parts[:-1])
    return next((part for part in found if part is not None), None)
