from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.ingest.tables import read, refusal
from worker.ingest.limits import Limits


def write(folder: Path, columns: dict, **options: object) -> Path:
    pq.write_table(pa.table(columns), folder / "t.parquet", **options)
    return folder / "t.parquet"


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([3, 1, 3], pa.int64()),
        pa.array(["3", "1", " 3"]),
        pa.array(["3", "1", "3"]).dictionary_encode(),
        pa.array(["3", "1", "3"], pa.large_string()),
        pa.array([b"3", b"1", b"3"]),
        pa.array([3.0, 1.0, 3.0]),
        pa.array([3, 1, 3], pa.uint8()),
    ],
)
def test_parquet_when_ids_are_of_any_type_then_the_same_text(tmp_path: Path, ids: pa.Array) -> None:
    _, found = read(write(tmp_path, {"user": ids, "item": [1, 2, 3]}))
    assert found["user"] == ["3", "1", "3"]


def test_parquet_when_row_groups_and_other_columns_then_only_roles(tmp_path: Path) -> None:
    columns = {"x": [[1]] * 100, "user_id": range(100), "item_id": range(100), "stars": [4] * 100}
    _, found = read(write(tmp_path, {name: pa.array(list(v)) for name, v in columns.items()}, row_group_size=7))
    assert found == {
        "user": [str(n) for n in range(100)], "item": [str(n) for n in range(100)], "rating": [4.0] * 100,
    }  # fmt: skip


def test_parquet_when_times_are_typed_then_milliseconds(tmp_path: Path) -> None:
    when = [dt.datetime(2020, 1, 1, tzinfo=dt.UTC), None]
    _, found = read(
        write(tmp_path, {"user": [1, 2], "item": [1, 2], "time": pa.array(when, pa.timestamp("ns", "UTC"))})
    )
    assert found["timestamp"] == [1577836800000, None]


def test_parquet_when_ids_are_null_or_nan_then_row_is_named(tmp_path: Path) -> None:
    assert "row 2 " in refusal(write(tmp_path, {"user": [1, None], "item": [1, 2]}), "invalid_input").detail
    assert (
        "row 3 " in refusal(write(tmp_path, {"user": [1, 2, 3], "item": [1, 2, float("nan")]}), "invalid_input").detail
    )


def test_parquet_when_ids_are_fractions_or_nested_then_refused(tmp_path: Path) -> None:
    refusal(write(tmp_path, {"user": [1.5, 2.0], "item": [1, 2]}), "invalid_input")
    problem = refusal(write(tmp_path, {"user": [1], "list": [[1, 2]]}), "unsupported", columns={"item": "list"})
    assert problem.pointer == "/columns/item"


def test_parquet_when_ratings_are_text_then_read_or_row_is_named(tmp_path: Path) -> None:
    assert read(write(tmp_path, {"user": [1], "item": [1], "rating": ["4.5"]}))[1]["rating"] == [4.5]
    columns = {"user": [1, 2], "item": [1, 2], "rating": ["4.5", "good"]}
    assert "row 2 " in refusal(write(tmp_path, columns), "non_numeric_label").detail


def test_parquet_when_zeros_decode_to_2000_times_the_file_then_refused(tmp_path: Path) -> None:
    zeros = np.zeros(30_000_000, np.int64)
    path = write(tmp_path, {"user": zeros, "item": zeros})
    assert path.stat().st_size < 500_000
    problem = refusal(path, "decoded_too_large", Limits(decoded_bytes=100_000_000))
    assert "DISTILLERY_INGEST_DECODED_BYTES" in problem.detail
    refusal(path, "decoded_too_large", Limits(rows=1_000_000))


def test_parquet_when_long_equal_strings_then_refused(tmp_path: Path) -> None:
    long = pa.DictionaryArray.from_arrays(np.zeros(1000, np.int32), ["a" * 1_000_000])
    path = write(tmp_path, {"user": long, "item": list(range(1000))}, compression="zstd")
    assert path.stat().st_size < 30_000
    refusal(path, "decoded_too_large")


def test_parquet_when_too_many_columns_then_refused(tmp_path: Path) -> None:
    columns = {f"c{n}": [1] for n in range(60)} | {"user": [1], "item": [1]}
    refusal(write(tmp_path, columns), "decoded_too_large", Limits(columns=50))


@pytest.mark.parametrize("damage", ["cut", "footer", "page", "length"])
def test_parquet_when_damaged_then_refused(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path, {"user": list(range(1000)), "item": list(range(1000))}, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "footer":
        data[-60:-20] = b"\xff" * 40
    elif damage == "page":
        data[100:140] = b"\xff" * 40
    else:
        data[-8:-4] = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(data)
    refusal(path, "invalid_input")


def test_parquet_when_gzipped_then_read(tmp_path: Path) -> None:
    path = write(tmp_path, {"user": [1, 2], "item": [3, 4]})
    packed = tmp_path / "t.parquet.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed)[1] == read(path)[1]


def test_parquet_when_empty_then_refused(tmp_path: Path) -> None:
    columns = {"user": pa.array([], pa.int64()), "item": pa.array([], pa.int64())}
    assert "no rows" in refusal(write(tmp_path, columns), "invalid_input").detail
