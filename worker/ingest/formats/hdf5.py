"""HDF5 with one-dimensional arrays of one length at its root, each a column: what h5py writes of a table (Distill-CF).

A stranger's HDF5 may point to other files, name filters that load plug-ins and unpack to anything. So links, virtual
and external arrays, groups and types of variable length are refused, and compressed chunks are unpacked here, no
further than a chunk is long: the library's own filters are never run.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow
from worker.ingest.columns import Column, Wanted
from worker.ingest.format import Detected, Format
from worker.ingest.formats.npz import to_arrow
from worker.ingest.limits import Meter
from worker.ingest.sample import Sample
from worker.ingest.sources import Source
from worker.ingest.unsafe import EXPORT

_MARK = b"\x89HDF\r\n\x1a\n"
_ROWS = 1 << 18
_CHUNK_BYTES = 64 << 20
_DEFLATE, _SHUFFLE = 1, 2  # the identifiers of these filters in the HDF5 format
_TYPES = {"i": "integer", "u": "integer", "f": "number", "b": "boolean", "S": "text"}
# what h5py raises on damaged files: more than it documents
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)


@dataclass(frozen=True)
class _Stored:
    """An array of a file: `filters` in the order in which they were applied, `chunk` elements in each chunk, 0: it is
    stored whole.
    """

    name: str
    dataset: Any
    dtype: np.dtype[Any]
    rows: int
    chunk: int
    filters: tuple[int, ...]


def recognise(sample: Sample) -> bool:
    """Whether the file has HDF5's mark."""
    return sample.head.startswith(_MARK)


def describe(sample: Sample, meter: Meter) -> Detected:
    """The arrays at the root as columns; refuses a file with anything else in it."""
    source = sample.source
    with _opened(source, meter, "unsafe_format") as file:
        meter.columns(len(file), source.name)
        stored = [_checked(file, name, source) for name in file]
        columns = [_column(place, one, meter) for place, one in enumerate(stored)]
    if not columns:
        raise JobError("invalid_input", f"{source.name} holds no array at its root.", hint=EXPORT)
    return Detected(source, HDF5, columns)


def _column(place: int, stored: _Stored, meter: Meter) -> Column:
    sample = next(_blocks(stored, Meter(meter.limits)), np.array([]))[:20]
    return Column(stored.name, place, _TYPES[stored.dtype.kind], [str(value)[:80] for value in sample])


def read(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    """The arrays as they are stored."""
    source, before = detected.source, meter.packed_done
    with _opened(source, meter, "invalid_input") as file:
        stored = [_checked(file, one.column.name, source) for one in wanted]
        rows = stored[0].rows
        if any(one.rows != rows for one in stored):
            listed = ", ".join(f"{one.name} {one.rows:,}" for one in stored)
            raise JobError("invalid_input", f"The arrays of {source.name} differ in length: {listed}.", hint=EXPORT)
        meter.promised(rows * sum(one.dtype.itemsize for one in stored), source.name)
        for one, array in zip(wanted, stored, strict=True):
            if one.content == "id" and array.dtype.kind == "S":
                meter.id_length(array.dtype.itemsize, source.name)
        pieces = [_Pieces(_blocks(one, meter)) for one in stored]
        widest = max(one.dtype.itemsize for one in stored)
        step = max(1, min(_ROWS, _CHUNK_BYTES // 4 // widest))
        for start in range(0, rows, step):
            count = min(step, rows - start)
            columns = [to_arrow(piece.take(count), source.name) for piece in pieces]
            meter.packed_done = before + source.packed_bytes * (start + count) / rows
            yield pa.RecordBatch.from_arrays(columns, names=[one.name for one in wanted])


@contextmanager
def _opened(source: Source, meter: Meter, code: str) -> Generator[Any]:
    import h5py  # seldom needed, and as large as all other readers

    try:
        with source.seekable(meter) as raw, h5py.File(raw, "r") as file:
            yield file
    except _DAMAGE as broken:
        raise JobError(
            code, f"{source.name} is HDF5 that cannot be read: {str(broken)[:200]}.", hint=EXPORT
        ) from broken


def _checked(file: Any, name: str, source: Source) -> _Stored:
    """An array after all that could lead out of the file, or be unpacked without end, was refused."""
    import h5py

    link = file.get(name, getlink=True)
    if type(link) is not h5py.HardLink:
        raise _unsafe(source, name, "is a link, perhaps to another file")
    if file.get(name, getclass=True) is not h5py.Dataset:
        raise _unsafe(source, name, "is a group or a type, as in models and MATLAB files")
    dataset = file[name]
    plan = dataset.id.get_create_plist()
    if dataset.is_virtual or plan.get_external_count():
        raise _unsafe(source, name, "lies in other files")
    filters = tuple(int(plan.get_filter(place)[0]) for place in range(plan.get_nfilters()))
    if not set(filters) <= {_DEFLATE, _SHUFFLE}:
        raise _unsafe(source, name, f"is packed with a filter other than gzip and shuffle (numbers {filters})")
    dtype = dataset.dtype
    if dtype.kind not in _TYPES or dtype.itemsize == 0 or dataset.ndim != 1:
        raise _unsafe(source, name, f"has the type {str(dtype)[:60]} and {dataset.ndim} dimensions; a column has one")
    chunk = int(dataset.chunks[0]) if dataset.chunks else 0
    size = dataset.shape[0] * dtype.itemsize
    if chunk * dtype.itemsize > _CHUNK_BYTES:
        raise _unsafe(source, name, f"has chunks of more than {_CHUNK_BYTES:,} bytes")
    if not chunk and dataset.id.get_storage_size() != size:
        raise _unsafe(source, name, f"announces {size:,} bytes but {dataset.id.get_storage_size():,} are stored")
    return _Stored(name, dataset, dtype, int(dataset.shape[0]), chunk, filters)


def _unsafe(source: Source, name: str, why: str) -> JobError:
    return JobError(
        "unsafe_format", f"{source.name} is HDF5 of which {name[:80]!r} {why}; it was not read.", hint=EXPORT
    )


def _blocks(stored: _Stored, meter: Meter) -> Iterator[NDArray[Any]]:
    """The elements in order, in native byte order, as they are stored together."""
    step = stored.chunk or max(1, (_CHUNK_BYTES // 4) // stored.dtype.itemsize)
    for start in range(0, stored.rows, step):
        count = min(step, stored.rows - start)
        if stored.chunk:
            values = np.frombuffer(_chunk(stored, start), stored.dtype)[:count]
        else:
            values = stored.dataset[start : start + count]
        meter.decoded(count * stored.dtype.itemsize, f"The array {stored.name!r}")
        meter.tick()
        yield values.astype(stored.dtype.newbyteorder("="), copy=False)


def _chunk(stored: _Stored, start: int) -> bytes:
    """The bytes of the chunk that begins at an element, unpacked up to its length and no further."""
    wanted = stored.chunk * stored.dtype.itemsize
    info = stored.dataset.id.get_chunk_info_by_coord((start,))
    if info.byte_offset is None:
        raise ValueError(f"a chunk of {stored.name!r} was never written")
    held = info.size
    if held > 2 * wanted + 1_024:  # what does not shrink grows by a few bytes
        raise ValueError(f"a chunk of {stored.name!r} is longer than what it holds")
    skipped, data = stored.dataset.id.read_direct_chunk((start,))
    for place, kind in reversed(list(enumerate(stored.filters))):
        if skipped >> place & 1:
            continue
        data = _inflated(data, wanted) if kind == _DEFLATE else _unshuffled(data, stored.dtype.itemsize)
    if len(data) != wanted:
        raise ValueError(f"a chunk of {stored.name!r} holds {len(data):,} bytes, not {wanted:,}")
    return data


def _inflated(data: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error as broken:
        raise ValueError(str(broken)) from broken


def _unshuffled(data: bytes, width: int) -> bytes:
    """Shuffling puts all first bytes of the elements first, then all second ones."""
    whole = len(data) - len(data) % width
    planes = np.frombuffer(data, np.uint8, whole).reshape(width, -1)
    return planes.T.tobytes() + data[whole:]


class _Pieces:
    """Blocks of any length as pieces of the length asked for."""

    def __init__(self, blocks: Iterator[NDArray[Any]]) -> None:
        self._blocks, self._rest = blocks, np.array([])

    def take(self, count: int) -> NDArray[Any]:
        """The next `count` elements."""
        parts: list[NDArray[Any]] = []
        while count:
            if not len(self._rest):
                self._rest = next(self._blocks)
            parts.append(self._rest[:count])
            self._rest = self._rest[count:]
            count -= len(parts[-1])
        return np.concatenate(parts)


HDF5 = Format("hdf5", recognise, describe, read)
