"""A split that was published in files: one a part (train.csv, valid.csv, test.csv), or, as the papers on infinite-AE
and Distill-CF (arXiv:2206.02626) have it, index.npz beside total_data.hdf5, which says the part of every row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from worker.contract.errors import JobError
from worker.ingest.formats.arrays import open_arrays
from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.ingest.table import Table
from worker.kinds.interactions import splits

_WORDS = {
    "train": "train", "training": "train", "valid": "validation", "validation": "validation", "val": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
_DATA, _INDEX = "total_data.hdf5", "index.npz"


def index_beside_data(sources: Sequence[Source]) -> Source | None:
    """The index of the official data format, where it lies beside its data."""
    places = {PurePosixPath(source.name): source for source in sources}
    beside = (places.get(place.with_name(_INDEX)) for place in places if place.name == _DATA)
    return next((index for index in beside if index is not None), None)


def indexed(index: Source, rows: int, meter: Meter) -> np.ndarray:
    """The part of every row, int8: 0 training, 1 validation, 2 test, -1 in none. Raises `JobError` where the index is
    not an array `data` of so many of these numbers.
    """
    arrays = open_arrays(index, meter)
    found = arrays.read("data", np.int64) if arrays.find("data", dimensions=(1,)) else np.empty(0, np.int64)
    if len(found) != rows or not np.isin(found, (splits.DROPPED, splits.TRAIN, splits.VALIDATION, splits.TEST)).all():
        raise JobError(
            "invalid_input",
            f"{index.name} should hold an array 'data' with one of 0, 1, 2 and -1 for each of the {rows:,} rows of "
            f"{_DATA}; it holds {len(found):,} numbers.",
            hint="Upload the index that belongs to these data, or leave it out and draw a split, as in split=clean.",
            pointer="/options/split",
        )
    return found.astype(np.int8)


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
