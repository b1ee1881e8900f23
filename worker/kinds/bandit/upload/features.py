"""Descriptions of contexts and actions as numbers: columns that are numbers stay, categories become indicator columns.

A column of few values is one-hot, one of many is hashed into a fixed number of columns. Equal rows are found before
anything is encoded, so that a wide encoding exists once per distinct context and not once per round.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow
from worker.numerics.distinct import first_of_each

ENCODED_BYTES = 1_000_000_000  # of one table of descriptions
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Feature:
    """One column: `numbers` (n,) float32, or `codes` (n,) int32 into `words`."""

    name: str
    numbers: NDArray[np.float32] | None = None
    codes: NDArray[np.int32] | None = None
    words: Arrow | None = None

    def take(self, rows: NDArray[np.integer]) -> Feature:
        """The same column on some rows."""
        numbers = None if self.numbers is None else self.numbers[rows]
        return replace(self, numbers=numbers, codes=None if self.codes is None else self.codes[rows])

    @property
    def bits(self) -> NDArray[np.uint32]:
        """What distinguishes rows (n,): equal numbers or equal categories have equal bits."""
        if self.numbers is not None:
            return (self.numbers + np.float32(0)).view(np.uint32)  # -0.0 is 0.0
        assert self.codes is not None  # noqa: S101 - one of the two is always there
        return self.codes.view(np.uint32)


def fill_missing(features: Sequence[Feature], where: str) -> tuple[list[Feature], int]:
    """Missing numbers become their column's mean (0 where all are missing); how many there were. Refuses infinities."""
    filled, missing = list[Feature](), 0
    for feature in features:
        if feature.numbers is not None and not np.isfinite(feature.numbers).all():
            if np.isinf(feature.numbers).any():
                raise JobError(
                    "invalid_input",
                    f"The column {feature.name!r} of {where} holds infinite numbers or numbers above float32.",
                    hint="Rescale the column, or leave it out with context_columns.",
                    pointer="/options/context_columns",
                )
            gaps = np.isnan(feature.numbers)
            missing += int(gaps.sum())
            known = feature.numbers[~gaps].astype(np.float64)
            mean = np.float32(known.mean() if len(known) else 0)
            feature = replace(feature, numbers=np.where(gaps, mean, feature.numbers))
        filled.append(feature)
    return filled, missing


def encode(
    features: Sequence[Feature], n: int, max_categories: int, hash_columns: int, pointer: str
) -> tuple[NDArray[np.float32], list[str]]:
    """The matrix (n, d) float32 and the d column names."""
    plans = [_columns(feature, max_categories, hash_columns) for feature in features]
    width = sum(len(names) for names, _ in plans)
    if n * width * 4 > ENCODED_BYTES:
        raise JobError(
            "dense_too_large",
            f"{n:,} descriptions of {width:,} columns take {n * width * 4:,} bytes; the limit is {ENCODED_BYTES:,}.",
            hint="Name fewer columns, or lower max_categories and hash_columns.",
            pointer=pointer,
        )
    matrix = np.zeros((n, width), np.float32)
    names: list[str] = []
    for feature, (added, place) in zip(features, plans, strict=True):
        if feature.numbers is not None:
            matrix[:, len(names)] = feature.numbers
        elif place is not None and feature.codes is not None:
            matrix[np.arange(n), len(names) + place[feature.codes]] = 1
        names += added
    return matrix, names


def _columns(feature: Feature, max_categories: int, hash_columns: int) -> tuple[list[str], NDArray[np.int64] | None]:
    """Names of the columns a feature becomes, and the column of each of its categories."""
    if feature.words is None:
        return [feature.name], None
    words: list[str] = feature.words.to_pylist()
    if len(words) <= max_categories:
        return [f"{feature.name}={word}"[:200] for word in words], np.arange(len(words))
    buckets = [zlib.crc32(f"{feature.name}={word}".encode()) % hash_columns for word in words]
    return [f"{feature.name}#{bucket}" for bucket in range(hash_columns)], np.array(buckets, np.int64)


def distinct_features(features: Sequence[Feature], n: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """First round of every distinct row (U,), in order of appearance, and the distinct row of every round (n,)."""
    key = np.zeros(n, np.uint64)
    columns = [feature.bits for feature in features]
    for bits in columns:
        key = (key ^ bits) * _MIX
        key ^= key >> np.uint64(29)
    first, index = first_of_each(key)
    if all(np.array_equal(bits, bits[first][index]) for bits in columns):
        return first, index
    # two different rows with one hash: whoever builds such rows pays for sorting them whole
    stacked = np.ascontiguousarray(np.column_stack(columns))
    return first_of_each(stacked.view(np.dtype((np.void, stacked.itemsize * stacked.shape[1])))[:, 0])
