"""From points of the encoded space back to rows of the upload: every cell becomes one that some training row has.

An average of one-hot columns gives splits that no real row meets, and tree learners then fail. So of a category the
level with the most mass is taken, and of a number the nearest value that occurs: a made row holds nothing that its
columns' types, or their units, do not allow. The cell is taken from a donor row, a different one for each column.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from worker.ingest.arrow import Arrow
from worker.kinds.table.dataset import TRAIN, Table
from worker.kinds.table.encode import CategoryCode, NumberCode
from worker.kinds.table.values import codes, numbers


def snapped(data: Table, points: np.ndarray) -> Arrow:
    """Feature columns (Arrow, s rows) of points (s, D): the nearest cells that occur in the training part."""
    train = data.frame.take(pa.array(np.flatnonzero(data.split == TRAIN)))
    columns = {
        name: train[name].take(pa.array(donors)).combine_chunks() for name, donors in _donors(data, train, points)
    }
    return pa.table(columns)


def _donors(data: Table, train: Arrow, points: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Of every column the training row (s,) that each point takes its cell from."""
    for code, block in zip(data.encoding.codes, data.encoding.blocks, strict=True):
        column, at = train[code.name], data.train.x[:, block]
        if isinstance(code, NumberCode):
            yield code.name, _of_number(numbers(column), at, points[:, block], code)
        else:
            yield code.name, _of_category(column, points[:, block], code)


def _of_number(values: np.ndarray, at: np.ndarray, points: np.ndarray, code: NumberCode) -> np.ndarray:
    there = np.flatnonzero(np.isfinite(values))
    if not len(there):
        return np.zeros(len(points), np.int64)
    order = there[np.argsort(at[there, 0], kind="stable")]
    known = at[order, 0]
    right = np.searchsorted(known, points[:, 0]).clip(1, max(1, len(known) - 1)) if len(known) > 1 else None
    if right is None:
        donors = np.full(len(points), order[0])
    else:
        left_is_nearer = points[:, 0] - known[right - 1] <= known[right] - points[:, 0]
        donors = order[np.where(left_is_nearer, right - 1, right)]
    if code.missing:
        donors = np.where(points[:, 1] > 0.5, np.flatnonzero(~np.isfinite(values))[0], donors)
    return donors


def _of_category(column: Arrow, points: np.ndarray, code: CategoryCode) -> np.ndarray:
    """A column's most frequent word, and the first row that holds it, stands for all words of that column."""
    found, words = codes(column)
    if not code.width:
        return np.zeros(len(points), np.int64)
    counts, place = np.bincount(found, minlength=len(words)), code.places(words)
    first = np.zeros(len(words), np.int64)
    first[found[::-1]] = np.arange(len(found))[::-1]
    donor = np.full(code.width, -1, np.int64)
    for word in np.argsort(counts, kind="stable"):
        if place[word] >= 0:
            donor[place[word]] = first[word]
    able = donor >= 0
    return donor[np.where(able, points, -np.inf).argmax(axis=1)]
