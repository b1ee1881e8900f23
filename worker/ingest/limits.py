"""Budgets for decoding what strangers upload, counted while decoding: a header or a footer is never believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from worker.contract.errors import JobError
from worker.ingest.remarks import Remarks

_SETTING = "DISTILLERY_INGEST_"


@dataclass(frozen=True)
class Limits:
    """How much one upload may decode to; each is the setting `DISTILLERY_INGEST_<NAME>`.

    `decoded_bytes` over all files; `rows` over all tables; `text_cell_bytes` one cell; `id_bytes` one user or item
    id; `columns` of one table; `archive_entries` of one zip; compressed text may decode to `text_ratio` times its
    size plus `text_slack_bytes`.
    """

    decoded_bytes: int = 8_000_000_000
    rows: int = 200_000_000
    text_cell_bytes: int = 1_000_000
    id_bytes: int = 1_024
    columns: int = 4_096
    archive_entries: int = 200_000
    text_ratio: int = 200
    text_slack_bytes: int = 10_000_000

    def text_ceiling(self, compressed_bytes: int) -> int:
        """Bytes that compressed text of this size may decode to."""
        return min(self.decoded_bytes, self.text_ratio * compressed_bytes + self.text_slack_bytes)


def too_large(what: str, measured: int, limit: int, name: str) -> JobError:
    """The refusal of something above a limit: says measured, limit and the setting's name."""
    return JobError(
        "decoded_too_large",
        f"{what}: {measured:,} is above the limit of {limit:,} (setting {_SETTING}{name.upper()}).",
        hint="Upload less, split the dataset, or ask the operator of this server to raise the setting.",
    )


class Meter:
    """Counts decoded bytes and rows of one upload and refuses as soon as a limit is passed; counts also the `remarks`
    on its cells.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.remarks = Remarks()
        self.bytes = 0
        self.rows = 0
        self.packed_done = 0.0  # bytes of the upload consumed so far, for progress
        self.tick: Callable[[], None] = lambda: None  # called often while decoding: reports, and stops when asked to

    def decoded(self, count: int, what: str) -> None:
        """`count` more bytes were decoded from `what`."""
        self.bytes += count
        if self.bytes > self.limits.decoded_bytes:
            raise too_large(f"{what} decodes to too many bytes", self.bytes, self.limits.decoded_bytes, "decoded_bytes")

    def promised(self, count: int, what: str) -> None:
        """`what` announces `count` bytes: refuse at once what could never fit."""
        total = self.bytes + count
        if total > self.limits.decoded_bytes:
            raise too_large(f"{what} announces too many bytes", total, self.limits.decoded_bytes, "decoded_bytes")

    def rows_read(self, count: int, what: str) -> None:
        """`count` more rows were read from `what`."""
        self.rows += count
        if self.rows > self.limits.rows:
            raise too_large(f"{what} has too many rows", self.rows, self.limits.rows, "rows")

    def columns(self, count: int, what: str) -> None:
        """`what` has `count` columns."""
        if count > self.limits.columns:
            raise too_large(f"{what} has too many columns", count, self.limits.columns, "columns")

    def entries(self, count: int, what: str) -> None:
        """The archive `what` has `count` entries."""
        if count > self.limits.archive_entries:
            raise too_large(f"{what} has too many entries", count, self.limits.archive_entries, "archive_entries")

    def id_length(self, longest: int, what: str) -> None:
        """The longest id in `what` takes `longest` bytes."""
        if longest > self.limits.id_bytes:
            raise too_large(f"{what} holds too long an id (bytes)", longest, self.limits.id_bytes, "id_bytes")

    def cell_length(self, longest: int, what: str) -> None:
        """The longest text cell in `what` takes `longest` bytes."""
        if longest > self.limits.text_cell_bytes:
            limit = self.limits.text_cell_bytes
            raise too_large(f"{what} holds too long a cell (bytes)", longest, limit, "text_cell_bytes")
