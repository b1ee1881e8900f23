"""What the messages of Arrow's IPC format announce, read before the decoder obeys it.

A compressed buffer begins with the number of bytes that it unpacks to, and the decoder allocates so many at once. Rows
of a type without buffers (null) cost nothing in the file. So the head of every message is read here first: FlatBuffers
tables as in Arrow's Message.fbs, of which a record batch is {length, nodes, buffers, compression}.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO

from worker.contract.errors import JobError
from worker.ingest.limits import Meter, too_large

CONTINUED = b"\xff\xff\xff\xff"
"""How a message begins, since Arrow 0.15."""
MESSAGE_BYTES = 512_000_000
"""What one batch may unpack to: the decoder holds it whole."""
_HEAD_BYTES = 64 << 20
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_INT, _LONG = struct.Struct("<i"), struct.Struct("<q")


@dataclass
class Extent:
    """`rows` of all batches together, and the `bytes` that they unpack to."""

    rows: int = 0
    bytes: int = 0


def begins_with_schema(head: bytes) -> bool:
    """Whether these bytes are the beginning of a stream: a message with a schema."""
    if not head.startswith(CONTINUED):
        return False
    try:
        return _Table.root(head[8:], "").number(1, "<B") == _SCHEMA
    except JobError:
        return False


def extent(raw: IO[bytes], start: int, meter: Meter, where: str, *, held: bool) -> Extent:
    """Walk the messages of the stream that begins at `start`. `held`: plain batches, too, are read into memory, not
    mapped. Raises `JobError` for what is damaged or above a limit.
    """
    found, size = Extent(), raw.seek(0, 2)
    while start + 8 <= size:
        raw.seek(start)
        mark = raw.read(8)
        if mark[:4] != CONTINUED:
            raise _broken(where, "a message does not begin as those of Arrow since version 0.15 do")
        (length,) = _INT.unpack_from(mark, 4)
        if length == 0:
            break
        if not 0 < length <= min(_HEAD_BYTES, size - start - 8):
            raise _broken(where, "the head of a message is longer than the file")
        message = _Table.root(raw.read(length), where)
        body, body_bytes = start + 8 + length, message.number(3, "<q")
        if not 0 <= body_bytes <= size - body:
            raise _broken(where, "it ends within a message")
        kind = message.number(1, "<B")
        if kind in {_DICTIONARY, _BATCH}:
            batch = message.table(2) if kind == _BATCH else message.table(2).table(1)
            _count(batch, raw, body, body_bytes, found, kind == _BATCH, meter, where, held=held)
        elif kind != _SCHEMA:
            raise JobError("unsupported", f"{where} holds tensors, not a table.", hint="Write a table of columns.")
        start = body + body_bytes
    return found


def _count(
    batch: _Table,
    raw: IO[bytes],
    body: int,
    body_bytes: int,
    found: Extent,
    is_rows: bool,
    meter: Meter,
    where: str,
    *,
    held: bool,
) -> None:
    rows = batch.number(0, "<q")
    if rows < 0:
        raise _broken(where, "a batch has a negative number of rows")
    found.rows += rows if is_rows else 0
    if found.rows > meter.limits.rows:
        raise too_large(f"{where} has too many rows", found.rows, meter.limits.rows, "rows")
    unpacked = _unpacked(batch, raw, body, body_bytes, where) if batch.has(3) else body_bytes
    if (held or batch.has(3)) and unpacked > MESSAGE_BYTES:
        raise JobError(
            "decoded_too_large",
            f"{where} has a batch of {unpacked:,} bytes, above the limit of {MESSAGE_BYTES:,}.",
            hint="Write it again in smaller batches, as `pyarrow.feather.write_feather(table, path)` does by default.",
        )
    found.bytes += unpacked
    if found.bytes > meter.limits.decoded_bytes:
        raise too_large(f"{where} decodes to too many bytes", found.bytes, meter.limits.decoded_bytes, "decoded_bytes")


def _unpacked(batch: _Table, raw: IO[bytes], body: int, body_bytes: int, where: str) -> int:
    """What the compressed buffers of a batch announce; -1 stands before one that was left as it is."""
    total = 0
    for offset, length in batch.pairs(2):
        if offset < 0 or length < 0 or offset + length > body_bytes:
            raise _broken(where, "a buffer lies outside its message")
        if not length:
            continue
        raw.seek(body + offset)
        announced = raw.read(8)
        if length < 8 or len(announced) < 8:
            raise _broken(where, "a compressed buffer has no length")
        (size,) = _LONG.unpack(announced)
        if size < -1:
            raise _broken(where, "a compressed buffer has a negative length")
        total += length if size == -1 else size
    return total


class _Table:
    """A FlatBuffers table, just as much of it as is asked for here: numbers, tables, and vectors of pairs of int64."""

    def __init__(self, data: bytes, start: int, where: str) -> None:
        self._data, self._start, self._where = data, start, where
        self._fields = start - self._read("<i", start)
        self._length = self._read("<H", self._fields)

    @classmethod
    def root(cls, data: bytes, where: str) -> _Table:
        """The outermost table."""
        if len(data) < 4:
            raise _broken(where, "a message has no head")
        return cls(data, _INT.unpack_from(data)[0], where)

    def has(self, field: int) -> bool:
        """Whether the field, by its number, is there."""
        return self._place(field) > 0

    def number(self, field: int, form: str) -> int:
        """A number, 0 where it is left out."""
        place = self._place(field)
        return self._read(form, place) if place else 0

    def table(self, field: int) -> _Table:
        """A table inside; refuses a field that is not there."""
        place = self._place(field)
        if not place:
            raise _broken(self._where, "a message lacks a field")
        return _Table(self._data, place + self._read("<I", place), self._where)

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A vector of structs of two int64."""
        place = self._place(field)
        if not place:
            return []
        begin = place + self._read("<I", place)
        count = self._read("<I", begin)
        if begin + 4 + 16 * count > len(self._data):
            raise _broken(self._where, "a message is cut short")
        return list(struct.iter_unpack("<qq", self._data[begin + 4 : begin + 4 + 16 * count]))

    def _place(self, field: int) -> int:
        at = 4 + 2 * field
        offset = self._read("<H", self._fields + at) if at < self._length else 0
        return self._start + offset if offset else 0

    def _read(self, form: str, at: int) -> int:
        if not 0 <= at <= len(self._data) - struct.calcsize(form):
            raise _broken(self._where, "a message points outside itself")
        return struct.unpack_from(form, self._data, at)[0]


def _broken(where: str, why: str) -> JobError:
    return JobError("invalid_input", f"{where} is damaged or cut short: {why}.", hint="Write and upload it again.")
