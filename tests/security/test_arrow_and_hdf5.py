"""Arrow and HDF5 that claim more than they hold, or lead elsewhere."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, ipc

from tests.security.fort import Fort

pytestmark = pytest.mark.security


def arrow(columns: dict, compression: str | None = None) -> bytes:
    stream = io.BytesIO()
    table = pa.table(columns)
    with ipc.new_stream(stream, table.schema, options=ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return stream.getvalue()


def test_arrow_when_a_buffer_claims_a_terabyte_then_refused(fort: Fort) -> None:
    zeros = np.zeros(10_000, np.int64)
    data = arrow({"user": zeros, "item": zeros}, "zstd")
    told = struct.pack("<q", zeros.nbytes)
    assert told in data
    fort.refused({"clicks.arrow": data.replace(told, struct.pack("<q", 10**12))}, "decoded_too_large")


def test_arrow_when_zeros_unpack_to_gigabytes_then_refused(fort: Fort) -> None:
    stream = io.BytesIO()
    zeros = np.zeros(80_000_000, np.int64)
    feather.write_feather(pa.table({"user": zeros, "item": zeros}), stream, compression="zstd", chunksize=len(zeros))
    fort.refused({"clicks.feather": stream.getvalue()}, "decoded_too_large")


def test_arrow_when_rows_have_no_bytes_then_refused(fort: Fort) -> None:
    fort.refused({"clicks.arrow": arrow({"user": pa.nulls(10**9), "item": pa.nulls(10**9)})}, "decoded_too_large")


def test_arrow_when_indices_lead_outside_then_refused(fort: Fort) -> None:
    outside = pa.DictionaryArray.from_arrays(pa.array([0, 2**30], pa.int32()), ["a", "b"], safe=False)
    fort.refused({"clicks.arrow": arrow({"user": outside, "item": [1, 2]})}, "invalid_input")


@pytest.mark.parametrize("kind", ["external link", "external storage", "virtual", "plug-in filter"])
def test_hdf5_when_it_leads_elsewhere_then_refused(fort: Fort, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.h5"
    with h5py.File(path, "w") as file:
        file["user"] = np.arange(100)
        if kind == "external link":
            file["item"] = h5py.ExternalLink("/etc/passwd", "/")
        elif kind == "external storage":
            file.create_dataset("item", (100,), "i1", external=[("/etc/passwd", 0, 100)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((100,), "i8")
            layout[:] = h5py.VirtualSource("/etc/passwd", "user", (100,))
            file.create_virtual_dataset("item", layout)
        else:
            plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plan.set_chunk((100,))
            plan.set_filter(32_004, h5py.h5z.FLAG_OPTIONAL)  # a plug-in would have to be loaded
            space = h5py.h5s.create_simple((100,))
            h5py.h5d.create(file.id, b"item", h5py.h5t.NATIVE_INT64, space, plan)
    fort.refused({"total_data.hdf5": path.read_bytes()}, "unsafe_format")


def test_hdf5_when_zeros_unpack_to_gigabytes_then_refused(fort: Fort, tmp_path: Path) -> None:
    path, chunk = tmp_path / "t.h5", 1_000_000
    with h5py.File(path, "w") as file:
        for name in ("user", "item"):
            array = file.create_dataset(name, (2_000_000_000,), "i8", chunks=(chunk,), compression="gzip")
            array.id.write_direct_chunk((0,), zlib.compress(bytes(8 * chunk), 9))
    fort.refused({"total_data.hdf5": path.read_bytes()}, "decoded_too_large")
    with h5py.File(path, "w") as file:
        for name in ("user", "item"):
            file.create_dataset(name, (2_000_000_000,), "i8", chunks=(chunk,), compression="gzip")
    fort.refused({"total_data.hdf5": path.read_bytes()}, "unsafe_format")
