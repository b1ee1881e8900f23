"""Parquet, row groups in batches, decoded bytes counted: the footer's sizes are encoded sizes and prove nothing."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow
from worker.ingest.columns import Wanted
from worker.ingest.format import Detected, Format
from worker.ingest.limits import Meter
from worker.ingest.parquet_pages import extent
from worker.ingest.sample import Sample
from worker.ingest.sources import Source
from worker.ingest.typed import Path, at, check_wanted, kind_at, typed_columns

_ROWS = 131_072
_BATCH_BYTES = 16_000_000
_FOOTER_BYTES = 64 << 20


def recognise(sample: Sample) -> bool:
    """Whether the file has Parquet's mark."""
    return sample.head.startswith(b"PAR1")


def describe(sample: Sample, meter: Meter) -> Detected:
    """The columns with types, by the schema in the footer, fields inside structs too."""
    source = sample.source
    with opened(source, Meter(meter.limits)) as (file, _):
        columns, paths = typed_columns(file.schema_arrow)
    meter.columns(len(columns), source.name)
    return Detected(source, PARQUET, columns, layout={"paths": paths})


def read(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    """The columns as they are stored; text stays dictionary-encoded, so that a few bytes which stand for a gigabyte of
    equal strings remain a few bytes.
    """
    source = detected.source
    before, last_dictionary = meter.packed_done, dict[int, int]()
    check_wanted(detected.columns, wanted, source.name)
    names = [one.column.name for one in wanted]
    paths = [detected.layout["paths"][one.column.index] for one in wanted]
    text = [one.column.name for one in wanted if one.content == "text" or one.column.type == "text"]
    with opened(source, meter, text) as (file, raw):
        _promise(file, paths, meter, source)
        found = extent(raw, file.metadata, set(names), meter, source.name)
        rows = max(file.metadata.num_rows, 1)
        widest = max(found.widest, 8 * found.listed / rows)
        rows_at_once = max(1, min(_ROWS, int(_BATCH_BYTES / widest)))
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
            yield pa.RecordBatch.from_arrays([at(batch, path) for path in paths], names=[one.name for one in wanted])


def _promise(file: Any, paths: Sequence[Path], meter: Meter, source: Source) -> None:
    width = sum(_width(kind_at(file.schema_arrow, path)) for path in paths)
    rows = file.metadata.num_rows
    meter.rows_read(rows, source.name)
    meter.rows -= rows  # announced only; counted when read
    meter.promised(rows * width, source.name)


def _width(kind: Arrow) -> int:
    try:
        return max(kind.bit_width // 8, 1)
    except ValueError:
        return 4  # text: the index into its dictionary


@contextmanager
def opened(source: Source, meter: Meter, text: Sequence[str] = ()) -> Generator[tuple[Any, IO[bytes]]]:
    """The file, its footer checked, and its bytes; what it raises while it is read becomes a `JobError`.

    `text`: columns that stay dictionary-encoded.
    """
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
