"""Tables of Parquet and JSON lines in which a cell holds a list, as that of a document's labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow
from worker.ingest.columns import Wanted
from worker.ingest.format import Detected, Format
from worker.ingest.formats import jsonl, parquet
from worker.ingest.limits import Limits, Meter
from worker.ingest.parquet_pages import extent
from worker.ingest.sample import Sample
from worker.kinds.labels.upload.raw import objects

_BATCH_BYTES, _ROWS = 16_000_000, 8_192
_NO_LIMITS = Limits()
LIST = "list"


def _with_lists(detected: Detected, own: Format) -> Detected:
    """A nested column as one that can be chosen; what it holds is checked when it is read."""
    columns = [replace(one, type=LIST) if one.type == "nested" else one for one in detected.columns]
    return replace(detected, columns=columns, format=own)


def _has_lists(describe: Any, sample: Sample) -> bool:
    try:
        return any(one.type == "nested" for one in describe(sample, Meter(_NO_LIMITS)).columns)
    except JobError:
        return False


def _recognise_parquet(sample: Sample) -> bool:
    return parquet.recognise(sample) and _has_lists(parquet.describe, sample)


def _recognise_objects(sample: Sample) -> bool:
    return jsonl.recognise(sample) and _has_lists(jsonl.describe, sample)


def _read_parquet(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    source = detected.source
    names = [one.column.name for one in wanted]
    before, done = meter.packed_done, 0
    with source.seekable(meter) as raw:
        try:
            file = pyarrow.parquet.ParquetFile(raw, page_checksum_verification=True)
            metadata = file.metadata
            stored: set[str] = set()
            values = 1.0
            for group in range(metadata.num_row_groups):
                for place in range(metadata.num_columns):
                    chunk = metadata.row_group(group).column(place)
                    if chunk.path_in_schema.split(".")[0] in names:
                        stored.add(chunk.path_in_schema)
                        values = max(values, chunk.num_values / max(1, metadata.row_group(group).num_rows))
            widest = extent(raw, metadata, stored, meter, source.name).widest * values
            rows = max(1, min(_ROWS, int(_BATCH_BYTES / widest)))
            total = max(1, metadata.num_rows)
            for batch in file.iter_batches(rows, columns=names):
                meter.decoded(batch.nbytes, source.name)
                done += batch.num_rows
                meter.packed_done = before + source.packed_bytes * done / total
                columns = [_texts(batch.column(one.column.name), one, source.name) for one in wanted]
                yield pa.RecordBatch.from_arrays(columns, names=[one.name for one in wanted])
        except (pa.ArrowException, OSError) as broken:
            raise JobError("invalid_input", f"{source.name} is damaged: {str(broken)[:200]}.") from broken


def _texts(column: Arrow, wanted: Wanted, name: str) -> Arrow:
    """A list column as lists of text; other columns as they are."""
    if not pa.types.is_nested(column.type):
        return column
    try:
        return column.cast(pa.list_(pa.string()))
    except pa.ArrowException as unfit:
        raise JobError(
            "invalid_input",
            f"The column {wanted.column.name!r} of {name} holds {str(column.type)[:80]}, no list of words.",
            hint="Write the labels of a document as one list of words.",
            pointer=f"/columns/{wanted.name}",
        ) from unfit


def _read_objects(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    source = detected.source
    kept: list[list[Any]] = []
    size = 0
    for number, record in objects(source, replaced(meter), listed=detected.layout["list"]):
        cells = [_cell(record.get(one.column.name), one, number, source.name) for one in wanted]
        size += sum(len(cell) if isinstance(cell, str) else 8 for cell in cells)
        kept.append(cells)
        if size > _BATCH_BYTES or len(kept) >= _ROWS:
            yield _batch(kept, wanted)
            kept, size = [], 0
    if kept:
        yield _batch(kept, wanted)


def replaced(meter: Meter) -> Meter:
    """A meter that counts bytes with this one and leaves its rows to who reads the batches."""
    own = Meter(meter.limits)
    own.remarks, own.bytes, own.packed_done = meter.remarks, meter.bytes, meter.packed_done

    def tick() -> None:
        meter.bytes, meter.packed_done = own.bytes, own.packed_done
        meter.tick()

    own.tick = tick
    return own


def _cell(value: Any, wanted: Wanted, number: int, name: str) -> Any:
    if wanted.column.type == LIST:
        if value is None or (isinstance(value, list) and all(isinstance(one, str | int) for one in value)):
            return None if value is None else [str(one) for one in value]
        if not isinstance(value, str):
            raise JobError(
                "invalid_input",
                f"Line {number:,} of {name}: {wanted.column.name!r} is not a list of words or numbers.",
                hint="Write the labels of a document as one list of words.",
                pointer=f"/columns/{wanted.name}",
            )
        return [value]
    if value is None or isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) else json.dumps(value)


def _batch(kept: list[list[Any]], wanted: Sequence[Wanted]) -> Arrow:
    columns = [
        pa.array([row[at] for row in kept], pa.list_(pa.string()) if one.column.type == LIST else pa.string())
        for at, one in enumerate(wanted)
    ]
    return pa.RecordBatch.from_arrays(columns, names=[one.name for one in wanted])


FORMATS = (
    LISTED_PARQUET := Format(
        "parquet",
        _recognise_parquet,
        lambda sample, meter: _with_lists(parquet.describe(sample, meter), LISTED_PARQUET),
        _read_parquet,
    ),
    LISTED_OBJECTS := Format(
        "jsonl",
        _recognise_objects,
        lambda sample, meter: _with_lists(jsonl.describe(sample, meter), LISTED_OBJECTS),
        _read_objects,
    ),
)
