"""What the pages of a Parquet column really decode to, read from the page headers that the decoder itself obeys.

The footer is the writer's word; a page that is not as long as its header says is refused by the decoder. So walking
the headers (Parquet format, section "Data pages"; Thrift compact protocol) bounds the memory before it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from worker.contract.errors import JobError
from worker.ingest.limits import Meter, too_large

PAGE_BYTES = 32_000_000  # writers aim at 1 MB; the decoder holds a page whole
_HEADER_BYTES = 65_536
_MOST_PAGES = 1_000_000
_LIST_OF = re.compile(r"\.(list\.(element|item)|bag\.array_element|array)$")
_STRUCT, _LIST, _SET, _BINARY, _DOUBLE, _BYTE = 12, 9, 10, 8, 7, 3


@dataclass
class Extent:
    """Of the chosen columns: `total` decompressed bytes, the `widest` value of any page on average, in bytes, and how
    many values are `listed` in columns of lists."""

    total: int = 0
    widest: float = 1.0
    listed: int = 0


def extent(
    raw: IO[bytes], metadata: Any, names: set[str], meter: Meter, where: str, page_bytes: int = PAGE_BYTES
) -> Extent:
    """Walk the pages of the columns of these names; refuses a page that no honest writer makes.

    `page_bytes`: the most a page may decode to; writers look at its size only once in so many values, so that pages of
    large values are large.
    """
    found, pages = Extent(), 0
    for group in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(place)
            path, inside = _LIST_OF.subn("", chunk.path_in_schema)
            if path not in names or chunk.num_values == 0:  # of none, no page is read
                continue
            for size, values in _pages(raw, chunk, where):
                pages += 1
                if size > page_bytes or pages > _MOST_PAGES:
                    what, got, limit = ("a page", size, page_bytes) if size > page_bytes else ("pages", pages, 10**6)
                    raise JobError(
                        "decoded_too_large",
                        f"{where} has {what} of {got:,}, above the limit of {limit:,}.",
                        hint="Write it again with pages of about a megabyte, as pyarrow does by default.",
                    )
                found.total += size
                found.widest = max(found.widest, size / max(values, 1))
                if inside:  # a page of a few bytes may stand for any number of equal values
                    found.listed += values
                    meter.promised(8 * found.listed, where)
                if found.total > meter.limits.decoded_bytes:
                    limit = meter.limits.decoded_bytes
                    raise too_large(f"{where} decodes to too many bytes", found.total, limit, "decoded_bytes")
    return found


def _pages(raw: IO[bytes], chunk: Any, where: str) -> Iterator[tuple[int, int]]:
    """(decompressed bytes, number of values) of every page of a column chunk; a dictionary counts as one value."""
    start = chunk.data_page_offset
    if chunk.dictionary_page_offset:
        start = min(start, chunk.dictionary_page_offset)
    stop = start + chunk.total_compressed_size
    while start < stop:
        raw.seek(start)
        header = _Compact(raw.read(_HEADER_BYTES), where)
        fields = header.struct()
        data = fields.get(5) or fields.get(8)
        # a dictionary is held whole whatever the size of a batch, so it says nothing about the width of a row
        values = data.get(1) if isinstance(data, dict) else fields.get(2)
        unpacked, packed = (_size(fields.get(number), where) for number in (2, 3))
        yield unpacked, _size(values, where)
        start += header.at + packed


def _size(value: object, where: str) -> int:
    if type(value) is not int or value < 0:
        raise _broken(where)
    return value


class _Compact:
    """Just enough of Thrift's compact protocol: structs of integers; everything else is stepped over."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where, self.at = data, where, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Fields by number: integers and structs."""
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self._integer()
            fields[number] = self._value(head & 15, depth + 1)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > 8:
            raise _broken(self.where)
        if kind in (1, 2):
            return kind == 1
        if kind == _STRUCT:
            return self.struct(depth)
        if kind in (4, 5, 6):
            return self._integer()
        if kind in (_LIST, _SET):
            head = self._byte()
            count = self._varint() if head >> 4 == 15 else head >> 4
            return [self._value(head & 15, depth + 1) for _ in range(min(count, _HEADER_BYTES))]
        skipped = self._varint() if kind == _BINARY else {_BYTE: 1, _DOUBLE: 8}.get(kind, len(self.data))
        self.at += skipped
        return None

    def _byte(self) -> int:
        if self.at >= len(self.data):
            raise _broken(self.where)
        self.at += 1
        return self.data[self.at - 1]

    def _varint(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise _broken(self.where)

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def _broken(where: str) -> JobError:
    return JobError("invalid_input", f"{where} is damaged: a page has no readable header.", hint="Upload it again.")
