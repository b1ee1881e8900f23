"""gzip and zip: text that unpacks to hundreds of times its size, archives in archives, sizes that lie."""

from __future__ import annotations

import gzip
import struct

import pytest

from tests.security.files import CSV, archive, zeros
from tests.security.fort import Fort

pytestmark = pytest.mark.security


def test_gzip_when_it_unpacks_to_zeros_then_refused(fort: Fort) -> None:
    bomb = zeros(200_000_000)
    assert len(bomb) < 300_000
    fort.refused({"clicks.csv.gz": bomb}, "decoded_too_large", "invalid_input")


def test_gzip_when_rows_repeat_without_end_then_refused(fort: Fort) -> None:
    bomb = gzip.compress(b"user,item\n" + b"1,2\n" * 30_000_000)
    assert len(bomb) < 300_000
    error = fort.refused({"clicks.csv.gz": bomb}, "decoded_too_large")
    assert "DISTILLERY_INGEST_TEXT_RATIO" in error["detail"]


def test_gzip_when_a_row_never_ends_then_refused(fort: Fort) -> None:
    fort.refused({"clicks.csv.gz": gzip.compress(b'user,item\n1,"' + b"a" * 60_000_000)}, "decoded_too_large")


def test_zip_when_a_member_is_a_bomb_then_refused(fort: Fort) -> None:
    bomb = archive([("clicks.csv", b"user,item\n" + b"1,2\n" * 30_000_000)])
    assert len(bomb) < 300_000
    fort.refused({"clicks.zip": bomb}, "decoded_too_large")


def test_zip_when_archives_are_nested_then_refused(fort: Fort) -> None:
    inner = archive([("clicks.csv", CSV)])
    fort.refused({"nested.zip": archive([("inner.csv", inner)])}, "unsafe_format")
    fort.refused({"nested.csv.gz": gzip.compress(gzip.compress(CSV))}, "unsafe_format")


def test_zip_when_a_size_or_a_checksum_lies_then_refused(fort: Fort) -> None:
    honest = archive([("clicks.csv", CSV)])
    entry = honest.rfind(b"PK\x01\x02")
    for offset, lie in ((24, struct.pack("<I", 100)), (16, b"\0\0\0\0")):
        lying = honest[: entry + offset] + lie + honest[entry + offset + 4 :]
        fort.refused({"lie.zip": lying}, "invalid_input")


def test_zip_when_it_claims_millions_of_entries_then_refused(fort: Fort) -> None:
    honest = bytearray(archive([("clicks.csv", CSV)]))
    end = honest.rfind(b"PK\x05\x06")
    honest[end + 8 : end + 12] = struct.pack("<HH", 65_535, 65_535)
    zip64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 10**12, 10**12, 46, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    lying = bytes(honest[:end]) + zip64 + locator + bytes(honest[end:])
    fort.refused({"lie.zip": lying}, "decoded_too_large", "invalid_input")


def test_zip_when_it_has_thousands_of_members_then_refused_in_time(fort: Fort) -> None:
    """Opening the archive anew for each member took a time quadratic in their number: a minute for these."""
    fort.refused({"many.zip": archive([(f"{n}.csv", b"") for n in range(2_000)])}, "invalid_input")
