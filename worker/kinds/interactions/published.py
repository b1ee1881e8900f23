"""A split that was published as one file a part: train.csv, valid.csv and test.csv."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from worker.contract.errors import JobError
from worker.ingest.table import Table
from worker.kinds.interactions import splits

_WORDS = {
    "train": "train", "training": "train", "valid": "validation", "validation": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip


def parts(files: Sequence[str]) -> dict[str, str]:
    """Part by file, of the files whose names say one; empty unless there is one for training and one for test."""
    found = {name: part for name in files if (part := _part(name))}
    return found if {"train", "test"} <= set(found.values()) else {}


def _part(name: str) -> str:
    words = re.split(r"[^a-z]+", PurePosixPath(name.replace("\\", "/")).name.lower())
    said = {_WORDS[word] for word in words if word in _WORDS}
    return said.pop() if len(said) == 1 else ""


def require(files: Sequence[str]) -> dict[str, str]:
    """As `parts`; raises `JobError` where the names say no split."""
    found = parts(files)
    if not found:
        raise JobError(
            "invalid_input",
            f"The split files needs files named train and test, and perhaps valid. Files: {', '.join(files[:20])}.",
            hint="Rename the files, or choose another split, as in split=clean.",
            pointer="/options/split",
        )
    return found


def codes(tables: Sequence[str], sizes: Sequence[int], part: dict[str, str]) -> np.ndarray:
    """The part of every row, int8, of tables of these names and numbers of rows read one below the other."""
    return np.repeat(splits.column(np.array([part[name] for name in tables])), sizes)


def alike(_: Table) -> tuple[bool, ...]:
    """Parts of a split are equally plausible: all are read."""
    return ()
