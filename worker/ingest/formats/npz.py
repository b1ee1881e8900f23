"""numpy archives: a scipy sparse matrix, or one array a column. Headers are parsed here, never trusted, and objects
(pickles) are never loaded.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tokenize import TokenError
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow
from worker.ingest.columns import Column, Wanted
from worker.ingest.format import Detected, Format
from worker.ingest.limits import Meter
from worker.ingest.sample import Sample
from worker.ingest.sources import DAMAGE, ZIP, Source, damaged, promised_entries
from worker.ingest.unsafe import refuse_unsafe_members

_ROWS = 1 << 18
_BATCH_BYTES = 16_000_000
_HEADER_BYTES = 10_000
_TYPES = {"i": "integer", "u": "integer", "f": "number", "b": "boolean", "M": "datetime"}
_INDEX = {"csr": ("indptr", "indices"), "csc": ("indptr", "indices"), "coo": ("row", "col")}


@dataclass
class Array:
    """One array of the archive: an open stream at its first element; `column_major`: the first index runs fastest."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    stream: IO[bytes]
    meter: Meter
    column_major: bool = False

    def take(self, count: int) -> NDArray[Any]:
        """The next `count` elements in native byte order."""
        wanted = count * self.dtype.itemsize
        try:
            data = self.stream.read(wanted)
        except DAMAGE as broken:
            raise JobError("invalid_input", f"The array {self.name!r} is damaged: {broken}.") from broken
        if len(data) != wanted:
            raise JobError("invalid_input", f"The array {self.name!r} ends early.")
        self.meter.decoded(wanted, f"The array {self.name!r}")
        values = np.frombuffer(data, self.dtype)
        return values.astype(self.dtype.newbyteorder("="), copy=False)


def open_array(archive: zipfile.ZipFile, name: str, meter: Meter, *, column_major: bool = False) -> Array:
    """Open an array after checking its header: type, and shape x itemsize against the bytes that are there.

    `column_major`: whether the caller can use one that is stored so (Fortran order).
    """
    try:
        info = archive.getinfo(name + ".npy")
        stream = archive.open(info)
    except DAMAGE as bad:
        raise _headless(name, bad) from bad
    return read_header(stream, info.file_size, name, meter, column_major=column_major)


def read_header(stream: IO[bytes], held: int, name: str, meter: Meter, *, column_major: bool = False) -> Array:
    """The array of a stream of `held` bytes that begins with numpy's header, checked as by `open_array`."""
    try:
        version = np.lib.format.read_magic(stream)
        parse = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = parse[version](stream, max_header_size=_HEADER_BYTES)
    except (*DAMAGE, SyntaxError, TypeError, TokenError) as bad:  # numpy tokenizes headers it cannot evaluate
        raise _headless(name, bad) from bad
    if dtype.hasobject:
        raise JobError(
            "unsafe_format",
            f"The array {name!r} holds Python objects (a pickle); it was not opened.",
            hint="Save plain numbers or fixed-width text: `array.astype('int64')` or `array.astype('U')`.",
        )
    flipped = fortran and len(shape) > 1
    if not _is_read(dtype) or (flipped and not column_major):
        raise JobError(
            "unsupported",
            f"The array {name!r} has the type {str(dtype)[:60]}, which is not read here.",
            hint="Save it as numbers, as text, or as datetime64[s], [ms], [us] or [ns].",
        )
    size = math.prod(shape) * dtype.itemsize
    held -= stream.tell()
    if size != held or any(length < 0 for length in shape):
        raise JobError("invalid_input", f"The array {name!r} announces {size:,} bytes but {held:,} follow its header.")
    meter.promised(size, f"The array {name!r}")
    return Array(name, dtype, tuple(shape), stream, meter, flipped)


def _headless(name: str, bad: BaseException) -> JobError:
    return JobError("invalid_input", f"The array {name!r} has no readable header: {str(bad)[:200]}.")


@contextmanager
def archive_of(source: Source, meter: Meter) -> Generator[zipfile.ZipFile]:
    """The zip that an npz is, perhaps one inside an upload's zip; what it decodes to is not yet counted."""
    with source.seekable(Meter(meter.limits)) as raw:
        meter.entries(promised_entries(raw), source.name)
        try:
            archive = zipfile.ZipFile(raw)
        except DAMAGE as broken:
            raise damaged(source.name, broken) from broken
        with archive:
            refuse_unsafe_members(source.name, archive.namelist())
            yield archive


def _is_read(dtype: np.dtype[Any]) -> bool:
    dated = dtype.kind == "M" and np.datetime_data(dtype)[0] in {"D", "s", "ms", "us", "ns"}
    return (dtype.kind in "iufbUS" or dated) and not dtype.names and dtype.itemsize > 0


def recognise(sample: Sample) -> bool:
    """Whether the file is a zip: others than those of arrays were unpacked before."""
    return sample.head.startswith(ZIP)


def describe(sample: Sample, meter: Meter) -> Detected:
    """The arrays of one dimension as columns, or row, column and value of a sparse matrix."""
    source = sample.source
    with archive_of(source, meter) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        meter.columns(len(names), source.name)
        counted = Meter(meter.limits)
        arrays = {name: open_array(archive, name, counted) for name in names}
        if {"format", "shape"} <= set(names):
            return _describe_sparse(source, arrays)
        flat = [array for array in arrays.values() if len(array.shape) == 1]
        if not flat:
            raise JobError("invalid_input", f"{source.name} holds no one-dimensional array.")
        columns = [_column(place, array) for place, array in enumerate(flat)]
    return Detected(source, NPZ, columns, layout={"sparse": ""})


def _describe_sparse(source: Source, arrays: dict[str, Array]) -> Detected:
    stored = arrays["format"]
    layout = ""
    if stored.dtype.kind in "SU" and stored.dtype.itemsize <= 16 and math.prod(stored.shape) == 1:
        value = stored.take(1)[0]
        layout = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    if layout not in _INDEX or not {*_INDEX[layout], "data"} <= set(arrays):
        raise JobError(
            "unsupported",
            f"{source.name} holds a sparse matrix of the layout {layout!r}.",
            hint="Save it as CSR: `scipy.sparse.save_npz('data.npz', matrix.tocsr())`.",
        )
    columns = [Column("row", 0, "integer"), Column("column", 1, "integer")]
    numeric = arrays["data"].dtype.kind in "iuf"  # of a matrix of booleans only the places say something
    columns.append(Column("data", 2, "number" if numeric else "text"))
    return Detected(source, NPZ, columns, pairs=3 if numeric else 2, layout={"sparse": layout})


def _column(place: int, array: Array) -> Column:
    kind = {"i": "integer", "u": "integer", "f": "number", "b": "boolean", "M": "datetime"}.get(
        array.dtype.kind, "text"
    )
    sample = array.take(min(20, array.shape[0])) if array.dtype.itemsize <= 4096 else np.array([])
    if sample.dtype.kind in "SU" and len(sample):
        sample = sample[~not_text(sample)]
    return Column(array.name, place, kind, [str(value)[:80] for value in sample])


def read(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    """The arrays as they are stored; of a sparse matrix the stored entries, zeros too."""
    source, sparse = detected.source, detected.layout["sparse"]
    before = meter.packed_done
    with archive_of(source, meter) as archive:
        parts = _sparse(archive, sparse, meter) if sparse else _arrays(archive, source, wanted, meter)
        for share, batch in parts:
            meter.packed_done = before + share * source.packed_bytes
            if sparse:
                batch = batch.select([one.column.index for one in wanted])
            yield batch.rename_columns([one.name for one in wanted])


def _arrays(
    archive: zipfile.ZipFile, source: Source, wanted: Sequence[Wanted], meter: Meter
) -> Iterator[tuple[float, Arrow]]:
    arrays = [open_array(archive, one.column.name, meter) for one in wanted]
    lengths = {array.shape for array in arrays}
    if len(lengths) > 1:
        listed = ", ".join(f"{array.name} {array.shape[0]:,}" for array in arrays)
        raise JobError("invalid_input", f"The arrays of {source.name} differ in length: {listed}.")
    total = arrays[0].shape[0]
    for one, array in zip(wanted, arrays, strict=True):
        if one.content == "id":
            meter.id_length(array.dtype.itemsize // 4 if array.dtype.kind in "US" else 0, source.name)
    rows = max(1, min(_ROWS, _BATCH_BYTES // max(array.dtype.itemsize for array in arrays)))
    for start in range(0, total, rows):
        count = min(rows, total - start)
        columns = [to_arrow(array.take(count), source.name) for array in arrays]
        yield (start + count) / total, pa.RecordBatch.from_arrays(columns, names=[array.name for array in arrays])


def to_arrow(values: NDArray[Any], where: str) -> Arrow:
    """An array of numpy as one of Arrow; fixed-width bytes without the zeros at their end. Raises `JobError` for text
    that is none: numpy holds halves of characters that UTF-8 does not know.
    """
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    if values.dtype.kind in "SU":
        wrong = not_text(values)
        if wrong.any():
            raise JobError(
                "invalid_input",
                f"Text {int(np.argmax(wrong)) + 1:,} of an array of {where} holds a NUL or half of a character.",
                hint="Save the ids as whole numbers, or as text that `str.encode` takes and without NUL.",
            )
    return pa.array(values).cast(pa.binary()) if values.dtype.kind == "S" else pa.array(values)


def not_text(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which cells of fixed-width text or bytes (n,) hold what is no text: characters that Unicode does not know, or a
    NUL before the end, after which Arrow reads no further.
    """
    width = 4 if values.dtype.kind == "U" else 1
    codes = np.ascontiguousarray(values).view(np.uint32 if width == 4 else np.uint8).reshape(len(values), -1)
    inside = ((codes[:, :-1] == 0) & (codes[:, 1:] != 0)).any(axis=1)
    unknown = (codes > 0x10FFFF) | ((codes >= 0xD800) & (codes <= 0xDFFF)) if width == 4 else codes < 0
    return inside | unknown.any(axis=1)


def _sparse(archive: zipfile.ZipFile, layout: str, meter: Meter) -> Iterator[tuple[float, Arrow]]:
    first, second, data = (open_array(archive, name, meter) for name in (*_INDEX[layout], "data"))
    shape = [int(size) for size in open_array(archive, "shape", meter).take(2)]
    total = math.prod(data.shape)
    if second.shape != data.shape or (layout == "coo" and first.shape != data.shape):
        raise JobError("invalid_input", "The index and data arrays of the sparse matrix differ in length.")
    if any(array.dtype.kind not in "iu" for array in (first, second)) or data.dtype.kind not in "iufb":
        raise JobError("invalid_input", "The sparse matrix is not made of numbers.")
    pieces = _pieces(first, total) if layout == "coo" else _bounded(first, shape[0 if layout == "csr" else 1], total)
    for start, stop, major in pieces:
        minor, values = second.take(stop - start), data.take(stop - start)
        row, column = (minor, major) if layout == "csc" else (major, minor)
        if min(row.min(), column.min()) < 0 or row.max() >= shape[0] or column.max() >= shape[1]:
            raise JobError("invalid_input", "The sparse matrix has an index outside its shape.")
        # a stored 0 is a rating of 0, as it is in any other format; a stored False is no event
        kept = values != 0 if data.dtype.kind == "b" else np.ones(len(values), bool)
        yield (
            stop / total,
            pa.RecordBatch.from_arrays(
                [pa.array(part[kept]) for part in (row, column, values)], names=["row", "column", "data"]
            ),
        )


def _pieces(index: Array, total: int) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Elements start..stop-1 and the index of each."""
    for start in range(0, total, _ROWS):
        stop = min(start + _ROWS, total)
        yield start, stop, index.take(stop - start)


def _bounded(array: Array, majors: int, total: int) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """As `_pieces` from the bounds of the rows (indptr), which are never held whole: empty rows compress to nothing."""
    unfit = JobError("invalid_input", "The sparse matrix's indptr does not fit its shape and data.")
    if math.prod(array.shape) != majors + 1 or array.take(1)[0] != 0:
        raise unfit
    last = 0
    for done in range(0, majors, _ROWS):
        bounds = np.concatenate([[last], array.take(min(_ROWS, majors - done)).astype(np.int64)])
        if (np.diff(bounds) < 0).any() or bounds[-1] > total:
            raise unfit
        for start in range(last, int(bounds[-1]), _ROWS):
            stop = min(start + _ROWS, int(bounds[-1]))
            yield start, stop, done + _majors(bounds, start, stop)
        last = int(bounds[-1])
    if last != total:
        raise unfit


def _majors(bounds: NDArray[Any], start: int, stop: int) -> NDArray[Any]:
    """Row of each of the elements start..stop-1 of a CSR matrix."""
    low = int(np.searchsorted(bounds, start, side="right")) - 1
    high = int(np.searchsorted(bounds, stop, side="left"))
    lengths = np.diff(np.clip(bounds[low : high + 1], start, stop))
    return np.repeat(np.arange(low, high), lengths)


NPZ = Format("npz", recognise, describe, read)
