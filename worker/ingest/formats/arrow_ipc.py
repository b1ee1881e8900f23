"""Arrow IPC, also called Feather: files and streams, plain or compressed, record batch by record batch.

What messages announce is counted before the decoder obeys it (`worker.ingest.arrow_messages`), and every batch is
validated in full (offsets, indices, UTF-8) before a cell of it is touched: Arrow itself trusts what it maps.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow, pc
from worker.ingest.arrow_messages import begins_with_schema, extent
from worker.ingest.cells import is_text
from worker.ingest.columns import Wanted
from worker.ingest.format import Detected, Format
from worker.ingest.limits import Meter
from worker.ingest.sample import Sample
from worker.ingest.sources import Source
from worker.ingest.typed import at, check_wanted, typed_columns

_FILE = b"ARROW1\0\0"
_ROWS = 131_072
_SLICE_BYTES = 16_000_000


def recognise(sample: Sample) -> bool:
    """Whether the file has Arrow's mark, or begins as a stream does."""
    return sample.head.startswith(_FILE) or begins_with_schema(sample.head)


def describe(sample: Sample, meter: Meter) -> Detected:
    """The columns with types, by the schema in the first message, fields inside structs too."""
    counted = Meter(meter.limits)
    with _opened(sample.source, counted, counted) as reader:
        columns, paths = typed_columns(reader.schema)
    meter.columns(len(columns), sample.source.name)
    return Detected(sample.source, ARROW_IPC, columns, layout={"paths": paths})


def read(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    """The columns as they are stored, in slices that stay small even if every cell is as long as the longest."""
    source = detected.source
    check_wanted(detected.columns, wanted, source.name)
    paths = [detected.layout["paths"][one.column.index] for one in wanted]
    before, counted, done = meter.packed_done, Meter(meter.limits), 0
    with _opened(source, meter, counted, {path[0] for path in paths}) as reader:
        for batch in reader:
            batch.validate(full=True)
            columns = [_storage(at(batch, path)) for path in paths]
            rows = max(1, min(_ROWS, _SLICE_BYTES // max(_longest(column) for column in columns)))
            for start in range(0, batch.num_rows, rows):
                parts = [_plain(column.slice(start, rows)) for column in columns]
                meter.decoded(sum(_decoded_bytes(part) for part in parts), source.name)
                done += len(parts[0])
                meter.packed_done = before + source.packed_bytes * done / counted.rows
                yield pa.RecordBatch.from_arrays(parts, names=[one.name for one in wanted])


def _storage(column: Arrow) -> Arrow:
    return column.storage if isinstance(column.type, pa.BaseExtensionType) else column


def _longest(column: Arrow) -> int:
    """Bytes of the longest cell, 1 at least."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary
    if _is_view(column.type):
        lengths = np.frombuffer(column.buffers()[1], np.int32)[::4][column.offset : column.offset + len(column)]
        return max(1, int(lengths[pc.is_valid(column).to_numpy(zero_copy_only=False)].max(initial=1)))
    if is_text(column.type) or pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return max(1, pc.max(pc.binary_length(column)).as_py() or 1)
    if pa.types.is_nested(column.type) and not pa.types.is_struct(column.type):
        return 8 * max(1, pc.max(pc.list_value_length(column)).as_py() or 1)
    return 8


def _is_view(kind: Arrow) -> bool:
    return pa.types.is_string_view(kind) or pa.types.is_binary_view(kind)


def _plain(column: Arrow) -> Arrow:
    """Views are what few functions of Arrow take."""
    if _is_view(column.type):
        return column.cast(pa.large_string() if pa.types.is_string_view(column.type) else pa.large_binary())
    return column


def _decoded_bytes(column: Arrow) -> int:
    """A dictionary is shared by the slices of a batch, and its messages were counted."""
    return column.indices.nbytes if pa.types.is_dictionary(column.type) else column.nbytes


@contextmanager
def _opened(source: Source, meter: Meter, counted: Meter, names: set[str] | None = None) -> Generator[Any]:
    """A reader of the columns of these names, or all, after the messages were walked; their rows go to `counted`."""
    mapped = not source.compression
    with source.seekable(meter) as raw:
        start = len(_FILE) if raw.read(len(_FILE)) == _FILE else 0
        counted.rows = max(1, extent(raw, start, meter, source.name, held=not mapped).rows)
        raw.seek(start)
        try:
            with pa.memory_map(str(source.path)) if mapped else pa.PythonFile(raw, "r") as file:
                file.seek(start)
                schema = pyarrow.ipc.open_stream(file).schema
                file.seek(start)
                chosen = [place for place, name in enumerate(schema.names) if names is None or name in names]
                yield pyarrow.ipc.open_stream(file, options=pyarrow.ipc.IpcReadOptions(included_fields=chosen))
        except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as broken:
            if isinstance(broken, MemoryError):
                raise JobError("decoded_too_large", f"{source.name} decodes to more memory than there is.") from broken
            raise JobError(
                "invalid_input", f"{source.name} is damaged: {str(broken)[:200]}.", hint="Write and upload it again."
            ) from broken


ARROW_IPC = Format("arrow", recognise, describe, read)
