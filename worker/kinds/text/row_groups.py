"""Record batches of any size to the row groups of a Parquet file: equal rows give equal files, however they came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from worker.ingest.arrow import Arrow

GROUP_ROWS, GROUP_BYTES = 4_096, 16_000_000


class RowGroups:
    """Collects batches of a schema; a group is full at 4,096 rows or 16 MB of text."""

    def __init__(self, schema: Arrow) -> None:
        self._schema = schema
        self._batches: list[Arrow] = []
        self._rows = self._bytes = 0

    def add(self, batch: Arrow, sizes: np.ndarray) -> Iterator[tuple[Arrow, int]]:
        """The groups (tables, with the bytes of their text) that are full with this batch; `sizes` (n,): bytes of the
        text of each row."""
        start, ends = 0, np.cumsum(sizes, dtype=np.int64)
        while start < len(sizes):
            before = int(ends[start - 1]) if start else 0
            full = int(np.searchsorted(ends, before + GROUP_BYTES - self._bytes)) + 1
            stop = min(len(sizes), start + GROUP_ROWS - self._rows, full)
            self._batches.append(batch.slice(start, stop - start))
            self._rows += stop - start
            self._bytes += int(ends[stop - 1]) - before
            start = stop
            if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
                yield from self.rest()

    def rest(self) -> Iterator[tuple[Arrow, int]]:
        """What was added and has not come out, if there is any."""
        if self._batches:
            group = pa.Table.from_batches(self._batches, self._schema).combine_chunks(), self._bytes
            self._batches, self._rows, self._bytes = [], 0, 0
            yield group


def parquet_writer(path: Path, schema: Arrow) -> Any:
    """A writer of Parquet; each table that it is given should be one row group."""
    words = [name for name in ("source",) if name in schema.names]
    layout: dict[str, Any] = {"compression": "zstd", "use_dictionary": words, "write_statistics": False}
    return parquet.ParquetWriter(path, schema, **layout)


class GroupedFile:
    """A Parquet file that batches are added to, in row groups of `RowGroups`."""

    def __init__(self, path: Path, schema: Arrow) -> None:
        self._groups, self._file = RowGroups(schema), parquet_writer(path, schema)

    def __enter__(self) -> Self:
        return self

    def add(self, batch: Arrow, sizes: np.ndarray) -> None:
        """Append a batch; `sizes` (n,): bytes of the text of each row."""
        for table, _ in self._groups.add(batch, sizes):
            self._file.write_table(table)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            for table, _ in self._groups.rest():
                self._file.write_table(table)
        self._file.close()
