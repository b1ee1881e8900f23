"""Which part of a split a folder, a file or an array is for, by its name."""

from __future__ import annotations

import re

from worker.kinds.images.dataset import TEST, TRAIN, VALIDATION

_NAMES = {
    "train": TRAIN, "training": TRAIN,
    "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "dev": VALIDATION,
    "test": TEST, "testing": TEST, "t10k": TEST,
}  # fmt: skip


def part_of(name: str) -> int | None:
    """The part that a whole name says, such as that of a folder; None for a name that says none."""
    return _NAMES.get(name.strip().lower())


def part_in(name: str) -> int | None:
    """The part that one word of a name says, as in `train-00000-of-00001.parquet`; None for none, or for several."""
    found = {_NAMES[word] for word in re.split(r"[^a-z0-9]+", name.lower()) if word in _NAMES}
    return found.pop() if len(found) == 1 else None
