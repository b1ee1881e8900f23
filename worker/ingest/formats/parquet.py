"""Parquet, row groups in batches, decoded bytes counted: the footer's sizes are encoded sizes and prove nothing."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow
from worker.ingest.columns import Column, Wanted
from worker.ingest.format import Detected, Format
from worker.ingest.limits import Meter
from worker.ingest.parquet_pages import extent
from worker.ingest.sample import Sample
from worker.ingest.sources import Source

_ROWS = 131_072
_BATCH_BYTES = 16_000_000
_FOOTER_BYTES = 64 << 20


def recognise(sample: Sample) -> bool:
    """Whether the file has Parquet's mark."""
    return sample.head.startswith(b"PAR1")


def describe(sample: Sample, meter: Meter) -> Detected:
    """The top-level columns with types, by the schema in the footer."""
    source = sample.source
    with _opened(source, Meter(meter.limits)) as (file, _):
        schema = file.schema_arrow
        meter.columns(len(schema), source.name)
        columns = [Column(field.name, place, _type(field.type)) for place, field in enumerate(schema)]
    return Detected(source, PARQUET, columns)


def read(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    """The columns as they are stored; text stays dictionary-encoded, so that a few bytes which stand for a gigabyte of
    equal strings remain a few bytes.
    """
    source = detected.source
    before, last_dictionary = meter.packed_done, dict[int, int]()
    names = [one.column.name for one in wanted]
    text = [one.column.name for one in wanted if one.content == "text" or one.column.type == "text"]
    with _opened(source, meter, text) as (file, raw):
        _check(file, wanted, meter, source)
        widest = extent(raw, file.metadata, set(names), meter, source.name).widest
        rows_at_once = max(1, min(_ROWS, int(_BATCH_BYTES / widest)))
        rows = max(file.metadata.num_rows, 1)
        done = 0
        for batch in file.iter_batches(rows_at_once, columns=list(dict.fromkeys(names))):
            for place, column in enumerate(batch.columns):
                size = column.nbytes
                if pa.types.is_dictionary(column.type):
                    # consecutive batches share a dictionary: count it once
                    where = column.dictionary.buffers()[1]
                    address = where.address if where else 0
                    size = column.indices.nbytes
                    if last_dictionary.get(place) != address:
                        size += column.dictionary.nbytes
                        last_dictionary[place] = address
                meter.decoded(size, source.name)
            done += batch.num_rows
            meter.packed_done = before + source.packed_bytes * min(done / rows, 1)
            yield pa.RecordBatch.from_arrays([batch.column(name) for name in names], names=[one.name for one in wanted])


def _check(file: Any, wanted: Sequence[Wanted], meter: Meter, source: Source) -> None:
    schema, width = file.schema_arrow, 0
    for one in wanted:
        field = schema.field(one.column.index)
        if pa.types.is_nested(field.type):
            raise JobError(
                "unsupported",
                f"The column {field.name!r} of {source.name} is nested ({str(field.type)[:80]}).",
                hint="Flatten it to one value a row, or choose another column.",
                pointer=f"/columns/{one.name}",
            )
        if schema.names.count(field.name) > 1:
            raise JobError(
                "invalid_input", f"{source.name} has two columns {field.name!r}.", pointer=f"/columns/{one.name}"
            )
        width += _width(field.type)
    rows = file.metadata.num_rows
    meter.rows_read(rows, source.name)
    meter.rows -= rows  # announced only; counted when read
    meter.promised(rows * width, source.name)


def _width(kind: Arrow) -> int:
    try:
        return max(kind.bit_width // 8, 1)
    except ValueError:
        return 4  # text: the index into its dictionary


def _type(kind: Arrow) -> str:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_nested(kind):
        return "nested"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    return "datetime" if pa.types.is_temporal(kind) else "text"


@contextmanager
def _opened(source: Source, meter: Meter, text: Sequence[str] = ()) -> Generator[tuple[Any, IO[bytes]]]:
    with source.seekable(meter) as raw:
        size = raw.seek(0, 2)
        raw.seek(max(size - 8, 0))
        tail = raw.read(8)
        footer = int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1" or footer > min(size, _FOOTER_BYTES):
            raise JobError("invalid_input", f"{source.name} is not a whole Parquet file.", hint="Upload it again.")
        raw.seek(0)
        try:
            file = pyarrow.parquet.ParquetFile(
                raw,
                read_dictionary=list(text),
                thrift_string_size_limit=_FOOTER_BYTES,
                thrift_container_size_limit=1_000_000,
                page_checksum_verification=True,
            )
            yield file, raw
        except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as broken:
            if isinstance(broken, MemoryError):
                raise JobError("decoded_too_large", f"{source.name} decodes to more memory than there is.") from broken
            raise JobError("invalid_input", f"{source.name} is damaged: {str(broken)[:200]}.") from broken


PARQUET = Format("parquet", recognise, describe, read)
