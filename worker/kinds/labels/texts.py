"""Columns of text as sequences of Python strings, held as Arrow: no object a document, whatever their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import pyarrow as pa

from worker.ingest.arrow import Arrow, pc


class Texts(Sequence[str]):
    """Text of n rows; a missing one is "". `column`: a large_string array (n,)."""

    def __init__(self, column: Arrow) -> None:
        if isinstance(column, pa.ChunkedArray):
            column = column.cast(pa.large_string()).combine_chunks()
        self.column: Arrow = pc.fill_null(column.cast(pa.large_string()), "")

    @classmethod
    def of(cls, words: Sequence[str]) -> Texts:
        """From Python strings."""
        return cls(pa.array(list(words), pa.large_string()))

    def __len__(self) -> int:
        return len(self.column)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Texts: ...
    def __getitem__(self, place: int | slice) -> str | Texts:
        if isinstance(place, slice):
            return self.take(np.arange(len(self))[place])
        return self.column[place].as_py()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), 4096):
            yield from self.column.slice(start, 4096).to_pylist()

    def take(self, rows: np.ndarray) -> Texts:
        """Those of some rows (int64 numbers or a bool mask)."""
        numbers = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Texts(self.column.take(pa.array(numbers, pa.int64())))
