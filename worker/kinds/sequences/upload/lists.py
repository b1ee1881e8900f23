"""Tables with a whole sequence in a row: list columns of Parquet and JSON lines, and npz archives of `indptr, items`.

They are read as one event a row, in the order of the lists. Where no column names the sequence, its row number does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow
from worker.ingest.columns import Column, Wanted, plain_name
from worker.ingest.format import Detected, Format
from worker.ingest.formats import jsonl, npz, parquet
from worker.ingest.limits import Limits, Meter
from worker.ingest.parquet_pages import extent
from worker.ingest.sample import Sample
from worker.ingest.sources import ZIP, Source

ROW = "row number"
_BESIDE = ("times", "time", "timestamps", "timestamp", "split")  # arrays of an archive that say something of each event
_ROWS, _BATCH_BYTES, _SAMPLED = 8192, 16_000_000, 20
_NO_LIMITS = Limits()


def _columns(kinds: dict[str, tuple[bool, str]]) -> tuple[list[Column], list[str]] | None:
    """Columns of a table by name, of which (is a list, type of a value) is known; the lists among them. None where
    there is no list, or where the table has items outside lists."""
    lists = [name for name, (is_list, _) in kinds.items() if is_list]
    flat = {plain_name(name) for name, (is_list, _) in kinds.items() if not is_list}
    if not lists or flat & {"item", "item_id", "itemid"}:
        return None
    columns = [Column(name, place, kind) for place, (name, (_, kind)) in enumerate(kinds.items())]
    columns.append(Column(ROW, len(columns), "integer"))
    return columns, lists


def _kind(value: Arrow) -> str:
    if pa.types.is_integer(value):
        return "integer"
    if pa.types.is_floating(value):
        return "number"
    return "datetime" if pa.types.is_temporal(value) else "text"


def _of_parquet(source: Source, meter: Meter) -> dict[str, tuple[bool, str]]:
    with source.seekable(Meter(meter.limits)) as raw:
        try:
            schema = pyarrow.parquet.read_schema(raw)
        except (pa.ArrowException, OSError):
            return {}
    found: dict[str, tuple[bool, str]] = {}
    for field in schema:
        is_list = any(of(field.type) for of in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))
        value = field.type.value_type if is_list else field.type
        if not pa.types.is_nested(value):
            found[field.name] = (is_list, _kind(value))
    return found


def _of_objects(sample: Sample) -> dict[str, tuple[bool, str]]:
    found: dict[str, tuple[bool, str]] = {}
    for line in sample.lines[:_SAMPLED]:
        try:
            record = json.loads(line)
        except ValueError:
            return {}
        if not isinstance(record, dict):
            return {}
        for name, value in record.items():
            values = value if isinstance(value, list) else [value]
            if any(isinstance(one, list | dict) for one in values):
                continue
            whole = all(isinstance(one, int) and not isinstance(one, bool) for one in values)
            found.setdefault(str(name), (isinstance(value, list), "integer" if whole else "text"))
    return found


def _recognise_parquet(sample: Sample) -> bool:
    if not parquet.recognise(sample):
        return False
    return _columns(_of_parquet(sample.source, Meter(_NO_LIMITS))) is not None


def _recognise_objects(sample: Sample) -> bool:
    return sample.first == "{" and _columns(_of_objects(sample)) is not None


def _describe(sample: Sample, kinds: dict[str, tuple[bool, str]], which: Format) -> Detected:
    described = _columns(kinds)
    assert described is not None  # noqa: S101 - recognised before
    columns, lists = described
    return Detected(sample.source, which, columns, layout={"lists": lists})


def _describe_parquet(sample: Sample, meter: Meter) -> Detected:
    parquet.describe(sample, meter)  # refuses what is damaged
    return _describe(sample, _of_parquet(sample.source, meter), LIST_PARQUET)


def _describe_objects(sample: Sample, meter: Meter) -> Detected:
    jsonl.describe(sample, meter)  # refuses what is no list of objects
    return _describe(sample, _of_objects(sample), LIST_OBJECTS)


def _read_parquet(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    source = detected.source
    names = [one.column.name for one in wanted if one.column.name != ROW]
    before, start = meter.packed_done, 0
    with source.seekable(meter) as raw:
        try:
            file = pyarrow.parquet.ParquetFile(raw, page_checksum_verification=True)
            stored = {
                file.metadata.row_group(0).column(place).path_in_schema
                for place in range(file.metadata.num_columns)
                if file.metadata.num_row_groups
            }
            chosen = {path for path in stored if path.split(".")[0] in names}
            extent(raw, file.metadata, chosen, meter, source.name)
            total = max(1, file.metadata.num_rows)
            longest = _longest(file, chosen)
            at_once = int(np.clip(_BATCH_BYTES // (8 * longest), 1, _ROWS))
            for batch in file.iter_batches(at_once, columns=names):
                meter.decoded(batch.nbytes, source.name)
                start += batch.num_rows
                meter.packed_done = before + source.packed_bytes * start / total
                yield _flat(batch, start - batch.num_rows, wanted, detected)
        except (pa.ArrowException, OSError) as broken:
            raise JobError("invalid_input", f"{source.name} is damaged: {str(broken)[:200]}.") from broken


def _longest(file: Any, chosen: set[str]) -> int:
    """Values of a list on average, of the row group where they are most."""
    most = 1.0
    for group in range(file.metadata.num_row_groups):
        one = file.metadata.row_group(group)
        values = [
            one.column(place).num_values
            for place in range(one.num_columns)
            if one.column(place).path_in_schema in chosen
        ]
        most = max(most, max(values, default=1) / max(1, one.num_rows))
    return int(most) + 1


def _read_objects(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    source, start, number = detected.source, 0, 0
    kept: list[dict[str, Any]] = []
    size = 0
    with source.open(meter) as stream:
        for raw in _lines(stream, source.name):
            number += 1
            if not raw.strip():
                continue
            try:
                record = json.loads(raw)
            except ValueError as invalid:
                raise JobError("invalid_input", f"Line {number:,} of {source.name} is not JSON: {invalid}.") from None
            kept.append({one.column.name: record.get(one.column.name) for one in wanted if one.column.name != ROW})
            size += len(raw)
            if size > _BATCH_BYTES:
                yield _flat(_batch(kept, wanted, detected, number), start, wanted, detected)
                start, kept, size = start + len(kept), [], 0
                meter.tick()
    if kept:
        yield _flat(_batch(kept, wanted, detected, number), start, wanted, detected)


def _lines(stream: Any, name: str) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(1 << 20):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > 64 << 20:
            raise JobError("decoded_too_large", f"A line of {name} is above 64 MB.", hint="Write one object a line.")
        yield from lines
    yield rest


def _batch(records: list[dict[str, Any]], wanted: Sequence[Wanted], detected: Detected, last: int) -> Arrow:
    columns, names = [], []
    for one in wanted:
        name = one.column.name
        if name == ROW:
            continue
        values = [record[name] for record in records]
        try:
            columns.append(pa.array(values))
        except (pa.ArrowException, OverflowError) as mixed:
            raise JobError(
                "invalid_input",
                f"{name!r} in the lines up to {last:,} of {detected.source.name} holds values of several types: "
                f"{str(mixed)[:120]}.",
                hint="Write one type of value for each key: all lists of numbers, or all lists of text.",
                pointer=f"/columns/{one.name}",
            ) from mixed
        names.append(name)
    return pa.RecordBatch.from_arrays(columns, names=names)


def _flat(batch: Arrow, start: int, wanted: Sequence[Wanted], detected: Detected) -> Arrow:
    """One row an event: lists one after another, what is said once for each of a list's events."""
    lists = set(detected.layout["lists"])
    lengths: np.ndarray | None = None
    for one in wanted:
        name = one.column.name
        if name in lists:
            found = _ragged(batch.column(name))
            counts = found.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
            if lengths is not None and not np.array_equal(lengths, counts):
                at = int(np.flatnonzero(lengths != counts)[0])
                raise JobError(
                    "invalid_input",
                    f"The lists in row {start + at + 1:,} of {detected.source.name} differ in length.",
                    hint="Give every event of a row an item and a time.",
                    pointer=f"/columns/{one.name}",
                )
            lengths = counts
    if lengths is None:
        raise JobError(
            "invalid_input",
            f"None of the columns that were chosen from {detected.source.name} holds lists.",
            hint=f'Name the list of items, as in columns={{"item": "{sorted(lists)[0]}"}}.',
            pointer="/columns/item",
        )
    owner = pa.array(np.repeat(np.arange(batch.num_rows), lengths.astype(np.int64)))
    columns = []
    for one in wanted:
        name = one.column.name
        if name == ROW:
            columns.append(pa.array(np.repeat(np.arange(start, start + batch.num_rows), lengths.astype(np.int64))))
        else:
            column = _ragged(batch.column(name))
            columns.append(column.flatten() if name in lists else column.take(owner))
    return pa.RecordBatch.from_arrays(columns, names=[one.name for one in wanted])


def _ragged(column: Arrow) -> Arrow:
    """A list column as one whose lists may differ in length."""
    return column.cast(pa.list_(column.type.value_type)) if pa.types.is_fixed_size_list(column.type) else column


def _recognise_npz(sample: Sample) -> bool:
    if not sample.head.startswith(ZIP):
        return False
    with npz.archive_of(sample.source, Meter(_NO_LIMITS)) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
    return {"indptr", "items"} <= names


def _describe_npz(sample: Sample, meter: Meter) -> Detected:
    with npz.archive_of(sample.source, meter) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        counted = Meter(meter.limits)
        arrays = {name: npz.open_array(archive, name, counted) for name in names}
    flat = {name: len(arrays[name].shape) == 1 for name in ("indptr", "items")}
    known = {role for role in _BESIDE if role in arrays}
    odd = [name for name, is_flat in flat.items() if not is_flat]
    odd += sorted(name for name in known if arrays[name].shape != arrays["items"].shape)
    if odd:
        raise JobError(
            "invalid_input",
            f"The array {odd[0]} of {sample.source.name} has the shape {tuple(arrays[odd[0]].shape)}.",
            hint="indptr (rows + 1,) and items (events,) are flat, and times and parts have a value for each item.",
        )
    kinds = {"i": "integer", "u": "integer", "f": "number", "M": "datetime"}
    places = [name for name in arrays if name != "indptr" and arrays[name].shape == arrays["items"].shape]
    columns = [Column(name, at, kinds.get(arrays[name].dtype.kind, "text")) for at, name in enumerate(places)]
    columns.append(Column(ROW, len(columns), "integer"))
    return Detected(sample.source, NPZ_ROWS, columns, layout={"lists": places})


def _read_npz(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    source = detected.source
    with npz.archive_of(source, meter) as archive:
        stored = npz.open_array(archive, "indptr", meter)
        indptr = stored.take(stored.shape[0]).astype(np.int64) if stored.dtype.kind in "iu" else np.zeros(0, np.int64)
        arrays = {one.name: npz.open_array(archive, one.column.name, meter) for one in wanted if one.column.name != ROW}
        total = next(iter(arrays.values())).shape[0] if arrays else 0
        if len(indptr) < 2 or indptr[0] != 0 or (np.diff(indptr) < 0).any() or indptr[-1] != total:
            raise JobError(
                "invalid_input",
                f"indptr of {source.name} does not cut its {total:,} items into rows.",
                hint="It starts with 0, never falls, and ends with the number of items.",
            )
        step = 1 << 18
        for start in range(0, total, step):
            count = min(step, total - start)
            owner = np.searchsorted(indptr, np.arange(start, start + count), side="right") - 1
            columns = [
                pa.array(owner) if one.column.name == ROW else npz.to_arrow(arrays[one.name].take(count), source.name)
                for one in wanted
            ]
            meter.packed_done += source.packed_bytes * count / max(1, total)
            yield pa.RecordBatch.from_arrays(columns, names=[one.name for one in wanted])


LIST_PARQUET = Format("list columns", _recognise_parquet, _describe_parquet, _read_parquet)
LIST_OBJECTS = Format("list columns", _recognise_objects, _describe_objects, _read_objects)
NPZ_ROWS = Format("npz rows", _recognise_npz, _describe_npz, _read_npz)
FORMATS = (LIST_PARQUET, LIST_OBJECTS, NPZ_ROWS)
