"""npz of arrays of any number of dimensions, read whole under the budgets; never an object array. For kinds whose
uploads hold matrices: the common format of npz (`worker.ingest.formats.npz`) reads tables.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow
from worker.ingest.columns import Column
from worker.ingest.format import Detected, Format
from worker.ingest.formats import npz
from worker.ingest.formats.npz import archive_of, open_array, to_arrow
from worker.ingest.limits import Meter, too_large
from worker.ingest.sample import Sample
from worker.ingest.sources import DAMAGE, Source

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Arrays:
    """The arrays of one npz: `shapes` and numpy `kinds` ("f", "i", "u", "b", "U", "S") by name."""

    source: Source
    meter: Meter
    shapes: dict[str, tuple[int, ...]]
    kinds: dict[str, str]

    def find(self, *names: str, dimensions: tuple[int, ...] = ()) -> str:
        """The first of these names that is there (with that many dimensions), else ""."""
        fits = (name for name in names if name in self.shapes)
        return next((name for name in fits if not dimensions or len(self.shapes[name]) in dimensions), "")

    def read(self, name: str, dtype: DTypeLike) -> NDArray[Any]:
        """The array converted to `dtype`, in blocks; numbers that a whole-number type cannot hold are refused."""
        wanted = np.dtype(dtype)
        if self.kinds[name] not in "iufb":
            raise JobError("invalid_input", f"The array {name!r} of {self.source.name} does not hold numbers.")
        with archive_of(self.source, self.meter) as archive:
            array = open_array(archive, name, self.meter, column_major=True)
            total = math.prod(array.shape)
            values = np.empty(total, wanted)
            for start in range(0, total, _CHUNK):
                block = array.take(min(_CHUNK, total - start))
                if wanted.kind == "i":
                    _check_whole(block, wanted, name, self.source.name)
                with np.errstate(
                    over="ignore"
                ):  # a float64 above float32's range becomes infinite, and is refused later
                    values[start : start + len(block)] = block
                self.meter.tick()
        return values.reshape(array.shape, order="F" if array.column_major else "C")

    def number(self, name: str) -> int:
        """An array of one whole number."""
        if math.prod(self.shapes[name]) != 1:
            raise JobError("invalid_input", f"The array {name!r} of {self.source.name} should hold one number.")
        return int(self.read(name, np.int64).reshape(-1)[0])

    def word(self, name: str) -> str:
        """A short text, as scipy writes the layout of a matrix; "" when it is something else."""
        if self.kinds[name] not in "US" or math.prod(self.shapes[name]) != 1:
            return ""
        with archive_of(self.source, self.meter) as archive:
            array = open_array(archive, name, self.meter)
            value = array.take(1)[0] if array.dtype.itemsize <= 64 else ""
        return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)

    def whole(self, name: str) -> NDArray[np.int64]:
        """An array of ids that are whole numbers; refuses floats from 2^53 on, which have lost digits."""
        values = self.read(name, np.int64)
        if self.kinds[name] == "f" and len(values) and int(np.abs(values).max()) >= 1 << 53:
            raise JobError(
                "invalid_input",
                f"The array {name!r} of {self.source.name} holds ids as floats at or above 2^53, which have lost "
                "digits: different ids have become the same.",
                hint="Go back to where the ids were whole, and save them as int64 or as text, `array.astype('U')`.",
            )
        return values

    def words(self, name: str) -> Arrow:
        """A one-dimensional array of ids as strings."""
        if len(self.shapes[name]) != 1:
            raise JobError("invalid_input", f"The array {name!r} of {self.source.name} should have one dimension.")
        if self.kinds[name] in "iubf":
            return pa.array(self.whole(name)).cast(pa.string())  # 3.0 is the id 3, 3.5 is refused
        with archive_of(self.source, self.meter) as archive:
            array = open_array(archive, name, self.meter)
            self.meter.id_length(array.dtype.itemsize // (4 if array.dtype.kind == "U" else 1), self.source.name)
            values = array.take(array.shape[0])
        try:
            return to_arrow(values.astype(str), self.source.name).cast(pa.string())
        except UnicodeDecodeError as invalid:
            raise JobError(
                "invalid_input",
                f"The array {name!r} of {self.source.name} is not ASCII text.",
                hint="Save it as text, `array.astype('U')`.",
            ) from invalid


def open_arrays(source: Source, meter: Meter) -> Arrays:
    """The shapes of all arrays of an npz, each header checked; refuses object arrays."""
    shapes: dict[str, tuple[int, ...]] = {}
    kinds: dict[str, str] = {}
    try:
        with archive_of(source, meter) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            meter.columns(len(names), source.name)
            for name in names:
                array = open_array(archive, name, Meter(meter.limits), column_major=True)
                shapes[name], kinds[name] = array.shape, array.dtype.kind
    except JobError as refused:
        if refused.code == "unsafe_format":
            refused.hint = (
                "Leave out what is None when saving: `numpy.savez(path, **{k: v for k, v in arrays.items() if v "
                "is not None})`, and save ids as fixed-width text: `array.astype('U')`."
            )
        raise
    except DAMAGE as broken:
        raise JobError(
            "invalid_input", f"{source.name} is a damaged npz: {broken}.", hint="Upload it again."
        ) from broken
    return Arrays(source, meter, shapes, kinds)


def check_length(count: int, meter: Meter, where: str) -> None:
    """Refuse more rows than the limits allow before anything is made of that length."""
    if count > meter.limits.rows:
        raise too_large(f"{where} has too many rows", count, meter.limits.rows, "rows")


def _check_whole(block: NDArray[Any], wanted: np.dtype[Any], name: str, where: str) -> None:
    if not len(block) or block.dtype.kind == "b":
        return
    room = np.iinfo(wanted)
    if block.dtype.kind == "f" and not (np.isfinite(block).all() and (np.floor(block) == block).all()):
        raise JobError("invalid_input", f"The array {name!r} of {where} holds fractions or NaN, not whole numbers.")
    if float(block.min()) < room.min or float(block.max()) > room.max:
        raise JobError("invalid_input", f"The array {name!r} of {where} holds numbers outside {wanted}.")


_TYPES = {"i": "integer", "u": "integer", "b": "boolean", "f": "number"}


def describe(sample: Sample, meter: Meter) -> Detected:
    """Every array as a column, those of more than one dimension as nested; `layout["arrays"]`: the `Arrays`."""
    arrays = open_arrays(sample.source, meter)
    columns = [
        Column(name, place, _TYPES.get(arrays.kinds[name], "text") if len(shape) == 1 else "nested")
        for place, (name, shape) in enumerate(arrays.shapes.items())
    ]
    return Detected(sample.source, ARRAYS, columns, layout={"arrays": arrays, "sparse": ""})


ARRAYS = Format("npz", npz.recognise, describe, npz.read, alone=True)
