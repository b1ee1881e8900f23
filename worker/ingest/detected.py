"""What an uploaded file was taken for; `detect` makes it, the readers go by it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from worker.ingest.columns import Column
from worker.ingest.sources import Source


@dataclass
class Detected:
    """What a file was taken for. `columns` are those of the sample; `header`: whether a first line names them."""

    source: Source
    format: str
    encoding: str = ""
    delimiter: str = ""
    header: bool = True
    columns: list[Column] = field(default_factory=list)
    layout: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON for the user."""
        return {
            "file": self.source.name,
            "format": self.format,
            "compression": self.source.compression,
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "header": self.header,
            "columns": [column.as_dict() for column in self.columns[:100]],
        }
