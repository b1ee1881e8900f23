"""Parquet: a file of a few kilobytes that decodes to gigabytes, with a footer that says otherwise."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.security.files import CSV, parquet
from tests.security.fort import Fort

pytestmark = pytest.mark.security


def unlike(count: int) -> list[str]:
    """Strings of a megabyte that all differ, so that no dictionary helps."""
    return [f"{n:08d}" + "a" * 1_000_000 for n in range(count)]


def test_parquet_when_zeros_decode_to_thousands_of_times_the_file_then_refused(fort: Fort) -> None:
    column = pa.array(np.zeros(25_000_000, np.int64))
    bomb = parquet({"user": column, "item": column})
    assert len(bomb) < 300_000
    error = fort.refused({"bomb.parquet": bomb}, "decoded_too_large")
    assert "DISTILLERY_INGEST_DECODED_BYTES" in error["detail"]


def test_parquet_when_equal_long_strings_then_refused(fort: Fort) -> None:
    long = pa.DictionaryArray.from_arrays(np.zeros(1000, np.int32), ["a" * 1_000_000])
    bomb = parquet({"user": long, "item": list(range(1000))}, compression="zstd")
    assert len(bomb) < 30_000
    fort.refused({"bomb.parquet": bomb}, "decoded_too_large")


@pytest.mark.parametrize("dictionary", [False, True])
def test_parquet_when_a_page_of_long_strings_is_huge_then_refused(fort: Fort, dictionary: bool) -> None:
    table = {"user": unlike(200), "item": list(range(200))}
    bomb = parquet(table, compression="zstd", use_dictionary=dictionary, dictionary_pagesize_limit=2**31 - 1)
    assert len(bomb) < 50_000
    fort.refused({"bomb.parquet": bomb}, "decoded_too_large")


def test_parquet_when_long_strings_lie_in_many_pages_then_refused(fort: Fort) -> None:
    table = {"user": unlike(200), "item": list(range(200)), "rating": unlike(200)}
    options = {"compression": "zstd", "use_dictionary": False, "write_batch_size": 1, "data_page_size": 1000}
    bomb = parquet(table, **options)
    assert len(bomb) < 300_000
    fort.refused({"bomb.parquet": bomb}, "decoded_too_large", "non_numeric_label")


def test_parquet_when_the_footer_lies_about_its_length_then_refused(fort: Fort) -> None:
    whole = parquet({"user": [1, 2], "item": [3, 4]})
    fort.refused({"lie.parquet": whole[:-8] + (2**31 - 1).to_bytes(4, "little") + b"PAR1"}, "invalid_input")


def test_parquet_when_deeply_nested_or_very_wide_then_refused(fort: Fort) -> None:
    nested = pa.int64()
    for _ in range(500):
        nested = pa.struct([("a", nested)])
    deep = parquet({"user": [1], "item": [1], "deep": pa.nulls(1, nested)})
    fort.refused({"deep.parquet": deep}, "invalid_input", "unsupported")
    wide = parquet({f"c{n}": [1] for n in range(5000)})
    fort.refused({"wide.parquet": wide}, "decoded_too_large", "invalid_input")


def test_upload_when_harmless_then_read(fort: Fort) -> None:
    """The mirror of all refusals: what they refuse is not every file."""
    assert fort.ended(fort.upload({"clicks.csv": CSV}))["state"] == "succeeded"
