"""Vectors that a table holds as text, as Python and numpy print them: "[np.float64(0.5), 1.0]", "[0.5 1. ]"."""

from __future__ import annotations

import re

import numpy as np

from worker.contract.errors import JobError
from worker.ingest.arrow import pc
from worker.ingest.table import Words
from worker.kinds.bandit.upload.features import Feature

_VECTOR = r"^[\[(].*\d.*[\])]$"
_WRAPPER = re.compile(r"np\.\w+\(|array\(|dtype=\w+|[\[\](),]")
_LOOKED_AT = 100


def vectors(column: Words, name: str, where: str) -> list[Feature] | None:
    """The numbers of a column of vectors as columns NAME_0, NAME_1, ..., NaN where a cell is blank; None when it holds
    something else. Refuses vectors that differ in length.
    """
    some = column.words.filter(pc.not_equal(column.words, ""))[:_LOOKED_AT]
    if not len(some) or not pc.all(pc.match_substring_regex(some, _VECTOR)).as_py():
        return None
    words: list[str] = column.words.to_pylist()
    try:
        found = [[float(part) for part in _WRAPPER.sub(" ", word).split()] for word in words]
    except ValueError as invalid:
        raise _unreadable(name, where, f"a cell that is no vector of numbers ({invalid})") from invalid
    lengths = sorted({len(vector) for vector in found if vector})
    if len(lengths) != 1:
        raise _unreadable(name, where, f"vectors of different lengths ({lengths[0]} to {lengths[-1]})")
    matrix = np.array([vector or [np.nan] * lengths[0] for vector in found], np.float32)
    return [Feature(f"{name}_{place}", matrix[:, place][column.codes]) for place in range(lengths[0])]


def _unreadable(name: str, where: str, what: str) -> JobError:
    return JobError(
        "invalid_input",
        f"The context column {name!r} of {where} holds {what}.",
        hint=f"Write one column a number: {name}_0, {name}_1, and so on.",
        pointer="/options/context_columns",
    )
