"""numpy archives: headers that announce what is not there, arrays of zeros, arrays of objects."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest

from tests.security.files import archive, npy
from tests.security.fort import Fort

pytestmark = pytest.mark.security


def test_npz_when_a_header_announces_terabytes_then_refused(fort: Fort) -> None:
    lie = archive([("user.npy", npy("<f8", (10**12,))), ("item.npy", npy("<i8", (10**12,)))])
    assert len(lie) < 1000
    fort.refused({"lie.npz": lie}, "invalid_input", "decoded_too_large")


def test_npz_when_zeros_decode_to_a_thousand_times_the_file_then_refused(fort: Fort) -> None:
    count = 30_000_000
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name in ("user", "item"):
            with made.open(f"{name}.npy", "w") as stream:
                stream.write(npy("<i8", (count,)))
                for _ in range(count // 1_000_000):
                    stream.write(bytes(8_000_000))
    assert len(out.getvalue()) < 600_000
    fort.refused({"bomb.npz": out.getvalue()}, "decoded_too_large")


def test_npz_when_ids_are_wide_and_empty_then_refused_without_holding_them(fort: Fort) -> None:
    wide = npy("<U1024", (30_000,), bytes(30_000 * 4096))
    fort.refused({"wide.npz": archive([("user.npy", wide), ("item.npy", wide)])}, "invalid_input", "decoded_too_large")


def test_npz_when_a_matrix_has_millions_of_empty_rows_then_they_are_not_held(fort: Fort) -> None:
    rows = 20_000_000
    bounds = npy("<i8", (rows + 1,), bytes(8 * rows) + (2).to_bytes(8, "little"))
    one = npy("<i8", (1,), (1).to_bytes(8, "little"))
    shape = npy("<i8", (2,), rows.to_bytes(8, "little") + (9).to_bytes(8, "little"))
    matrix = [("indptr.npy", bounds), ("indices.npy", one), ("data.npy", one), ("shape.npy", shape)]
    bomb = archive([*matrix, ("format.npy", npy("|S3", (), b"csr"))])
    assert len(bomb) < 300_000
    fort.refused({"bomb.npz": bomb}, "invalid_input")


def test_npz_when_an_array_holds_objects_then_refused_unopened(fort: Fort) -> None:
    objects = npy("|O", (2,), pickle.dumps(np.array([1, 2], dtype=object)))
    fort.refused({"objects.npz": archive([("user.npy", objects), ("item.npy", objects)])}, "unsafe_format")


@pytest.mark.parametrize(
    "descr",
    ["<i8' + __import__('os').system('true') + '", "(" * 400 + ")" * 400, "V2147483647", "<U2147483647"],
)
def test_npz_when_a_header_is_no_plain_type_then_refused(fort: Fort, descr: str) -> None:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (3,), }}".ljust(1000).encode() + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(24)
    lie = archive([("user.npy", array), ("item.npy", array)])
    fort.refused({"lie.npz": lie}, "invalid_input", "unsupported", "decoded_too_large")
