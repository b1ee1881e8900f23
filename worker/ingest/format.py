"""What a file format is to the readers: how it is recognised, what its columns are, and how it becomes batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.ingest.arrow import Arrow
from worker.ingest.columns import Column, Wanted
from worker.ingest.limits import Meter
from worker.ingest.sample import Sample
from worker.ingest.sources import Source


@dataclass(frozen=True)
class Format:
    """One format of files; `worker.ingest.formats` lists those that all kinds read, a `Schema` may bring others.

    `recognise(sample)`: whether a file is of this format. `describe(sample, meter)`: its columns and layout; raises
    `JobError` for what cannot be read. `read(detected, wanted, meter)`: record batches with one column for each of
    `wanted`, in their order and under their names, in Arrow types that `worker.ingest.values` converts; decoded bytes
    are counted by `meter`. `alone`: several files of this format are never parts of one table.
    """

    name: str
    recognise: Callable[[Sample], bool]
    describe: Callable[[Sample, Meter], Detected]
    read: Callable[[Detected, Sequence[Wanted], Meter], Iterator[Arrow]]
    alone: bool = False


@dataclass
class Detected:
    """What a file was taken for. `columns` are those of the sample; `header`: whether a first line names them.

    `warnings`: what about these guesses may be wrong, in sentences, each with the option that decides it.
    `pairs`: this many columns mean row, column and value of a matrix, whatever they are called; 0: names decide.
    `layout`: what the format's own reader needs to know.
    """

    source: Source
    format: Format
    columns: list[Column]
    encoding: str = ""
    delimiter: str = ""
    header: bool = True
    pairs: int = 0
    warnings: list[str] = field(default_factory=list[str])
    layout: dict[str, Any] = field(default_factory=dict[str, Any])

    def as_dict(self) -> dict[str, Any]:
        """JSON for the user."""
        return {
            "file": self.source.name,
            "format": self.format.name,
            "compression": self.source.compression,
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "header": self.header,
            "columns": [column.as_dict() for column in self.columns[:100]],
            "warnings": list(self.warnings),
        }
