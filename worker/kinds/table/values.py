"""Cells of a column of any type as numbers or as words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from worker.ingest.arrow import Arrow, pc


def is_number(kind: Arrow) -> bool:
    """Whether a type of Arrow has an order and distances: numbers, truth values, dates, times and durations."""
    types = pa.types
    plain = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    return bool(plain or (types.is_temporal(kind) and not types.is_interval(kind)))


def is_word(kind: Arrow) -> bool:
    """Whether a type of Arrow holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def numbers(column: Arrow) -> np.ndarray:
    """A column for which `is_number` holds as float64 (n,), NaN where missing; times as their count of units."""
    kind = column.type
    if pa.types.is_temporal(kind):
        column = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    values = column.cast(pa.float64(), safe=False)
    return np.asarray(pc.fill_null(values, np.nan).to_numpy(), np.float64)


def codes(column: Arrow) -> tuple[np.ndarray, list[str]]:
    """A column of any plain type as int64 codes (n,) into its sorted distinct words, "" where a cell is missing."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    encoded = pc.fill_null(texts(column), "").dictionary_encode()
    words: list[str] = encoded.dictionary.to_pylist()
    order = sorted(range(len(words)), key=lambda place: words[place])
    rank = np.empty(len(words), np.int64)
    rank[order] = np.arange(len(words))
    found = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)
    return rank[found] if len(words) else found, [words[place] for place in order]


def texts(column: Arrow) -> Arrow:
    """A column of any plain type as text; a duration is its count of units, for which Arrow has no words."""
    if pa.types.is_duration(column.type):
        column = column.cast(pa.int64())
    return column.cast(pa.string())


def shown(column: Arrow) -> list[Any]:
    """The cells of a column as JSON shows them."""
    kind = column.type
    plain = is_word(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind)
    cells: list[Any] = (column if plain else texts(column)).to_pylist()
    return [cell[:200] if isinstance(cell, str) else cell for cell in cells]
