from __future__ import annotations

import datetime as dt
import gzip
import struct
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, ipc

from tests.unit.ingest.tables import read, refusal, write_stream
from worker.ingest.limits import Limits


def write(folder: Path, columns: dict | pa.Table, **options: object) -> Path:
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    feather.write_feather(table, str(folder / "t.feather"), **options)
    return folder / "t.feather"


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([3, 1, 3], pa.int64()), pa.array([3, 1, 3], pa.uint64()), pa.array([3, 1, 3], pa.int8()),
        pa.array(["3", "1", " 3"]), pa.array(["3", "1", "3"], pa.large_string()),
        pa.array(["3", "1", "3"], pa.string_view()), pa.array([b"3", b"1", b"3"]),
        pa.array([b"3", b"1", b"3"], pa.large_binary()), pa.array([b"3", b"1", b"3"], pa.binary(1)),
        pa.array(["3", "1", "3"]).dictionary_encode(), pa.array([3.0, 1.0, 3.0]), pa.array([3, 1, 3], pa.float16()),
        pa.DictionaryArray.from_arrays(pa.array([2, 0, 2], pa.int8()), ["1", "unused", "3"]),
        pa.DictionaryArray.from_arrays(pa.array([2, 0, 2], pa.uint16()), pa.array([1, 2, 3], pa.int16())),
        pa.array([Decimal(3), Decimal(1), Decimal(3)], pa.decimal128(38, 0)),
        pa.array([Decimal(3), Decimal(1), Decimal(3)], pa.decimal256(50, 2)),
    ],
    ids=lambda ids: str(ids.type)[:30],
)  # fmt: skip
@pytest.mark.parametrize("form", ["lz4", "zstd", "uncompressed", "stream", "packed"])
def test_arrow_when_ids_are_of_any_type_then_the_same_text(tmp_path: Path, ids: pa.Array, form: str) -> None:
    table = pa.table({"user": ids, "item": [1, 2, 3]})
    if form in {"stream", "packed"}:
        path = write_stream(table, tmp_path / "t.arrows")
        if form == "packed":
            path.write_bytes(gzip.compress(path.read_bytes()))
    else:
        path = write(tmp_path, table, compression=form)
    detection, found = read(path)
    assert (detection["format"], found["user"]) == ("arrow", ["3", "1", "3"])


def test_arrow_when_cells_are_missing_true_or_dated_then_as_in_other_formats(tmp_path: Path) -> None:
    when = [dt.datetime(2020, 1, 1, tzinfo=dt.UTC), None, dt.datetime(2020, 1, 2, tzinfo=dt.UTC)]
    table = {
        "user": [1, 2, 3], "item": [4, 5, 6], "rating": [True, False, True],
        "time": pa.array(when, pa.timestamp("ns", "Europe/Berlin")), "unread": [[1], [], None],
    }  # fmt: skip
    _, found = read(write(tmp_path, table))
    assert found["rating"] == [1.0, 0.0, 1.0]
    assert found["timestamp"] == [1577836800000, None, 1577923200000]


def test_arrow_when_dictionaries_grow_or_change_between_batches_then_right(tmp_path: Path) -> None:
    kind = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema([("user", kind), ("item", pa.int64())])
    for deltas in (True, False):
        options = ipc.IpcWriteOptions(emit_dictionary_deltas=deltas)
        with ipc.new_stream(str(tmp_path / "t.arrows"), schema, options=options) as writer:
            for words in (["a", "b"], ["a", "b", "c"], ["z"]):
                users = pa.DictionaryArray.from_arrays(pa.array(range(len(words)), pa.int32()), words)
                writer.write_batch(pa.record_batch([users, pa.array(range(len(words)))], schema=schema))
        assert read(tmp_path / "t.arrows")[1]["user"] == ["a", "b", "a", "b", "c", "z"]


def test_arrow_when_values_lie_in_structs_then_named_with_a_point(tmp_path: Path) -> None:
    who = pa.array([{"id": "a", "age": 1}, {"id": "b", "age": None}])
    path = write(tmp_path, {"who": who, "what": [{"item": {"code": 7}}, {"item": {"code": 8}}]})
    problem = refusal(path, "unknown_column", columns={"user": "who.name", "item": "what.item.code"})
    assert "'who.id', 'who.age', 'what.item.code'" in problem.detail
    _, found = read(path, columns="user=who.id,item=what.item.code")
    assert found == {"user": ["a", "b"], "item": ["7", "8"]}
    gone = write(tmp_path, {"who": pa.array([{"id": "a"}, None]), "item": [1, 2]})
    assert "row 2 " in refusal(gone, "invalid_input", columns={"user": "who.id"}).detail


def test_arrow_when_the_item_is_a_list_then_refused_with_what_to_write(tmp_path: Path) -> None:
    problem = refusal(write(tmp_path, {"user": [1], "item": [[2, 3]]}), "unsupported")
    assert (problem.pointer, "df.explode('item')" in problem.hint) == ("/columns/item", True)


def test_arrow_when_columns_share_a_name_then_refused(tmp_path: Path) -> None:
    table = pa.table([pa.array([1, 2])] * 3, names=["user", "item", "item"])
    assert "2 columns 'item'" in refusal(write_stream(table, tmp_path / "t.arrows"), "invalid_input").detail


def test_arrow_when_an_extension_then_what_it_is_stored_as(tmp_path: Path) -> None:
    flags = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0], pa.int8()))
    assert read(write(tmp_path, {"user": [1, 2], "item": [1, 2], "rating": flags}))[1]["rating"] == [1.0, 0.0]


def test_arrow_when_empty_then_refused(tmp_path: Path) -> None:
    nothing = pa.array([], pa.int64())
    assert "no rows" in refusal(write(tmp_path, {"user": nothing, "item": nothing}), "invalid_input").detail


# --- hostile files


def test_arrow_when_zeros_decode_to_a_thousand_times_the_file_then_refused(tmp_path: Path) -> None:
    zeros = np.zeros(30_000_000, np.int64)
    path = write(tmp_path, {"user": zeros, "item": zeros}, compression="zstd")
    assert path.stat().st_size < 1_000_000
    refusal(path, "decoded_too_large", Limits(decoded_bytes=100_000_000))
    refusal(path, "decoded_too_large", Limits(rows=1_000_000))


def test_arrow_when_a_batch_is_huge_then_refused_with_what_to_write(tmp_path: Path) -> None:
    zeros = np.zeros(40_000_000, np.int64)
    path = write(tmp_path, {"user": zeros, "item": zeros}, compression="zstd", chunksize=40_000_000)
    assert "smaller batches" in refusal(path, "decoded_too_large").hint


def test_arrow_when_a_buffer_claims_a_terabyte_then_refused(tmp_path: Path) -> None:
    zeros = np.zeros(10_000, np.int64)
    path = write(tmp_path, {"user": zeros, "item": zeros}, compression="zstd")
    data = path.read_bytes()
    told = struct.pack("<q", zeros.nbytes)
    assert data.count(told) >= 2
    path.write_bytes(data.replace(told, struct.pack("<q", 10**12)))
    assert "a batch of" in refusal(path, "decoded_too_large").detail
    path.write_bytes(data.replace(told, struct.pack("<q", -7)))
    assert "negative" in refusal(path, "invalid_input").detail


def test_arrow_when_rows_have_no_bytes_then_counted_all_the_same(tmp_path: Path) -> None:
    path = write_stream(pa.table({"user": pa.nulls(500_000_000), "item": pa.nulls(500_000_000)}), tmp_path / "t")
    assert path.stat().st_size < 1_000
    assert "rows" in refusal(path, "decoded_too_large").detail


def test_arrow_when_indices_or_offsets_lead_outside_then_refused(tmp_path: Path) -> None:
    outside = pa.DictionaryArray.from_arrays(pa.array([0, 99], pa.int32()), ["a", "b"], safe=False)
    path = write_stream(pa.table({"user": outside, "item": [1, 2]}), tmp_path / "t.arrows")
    assert "damaged" in refusal(path, "invalid_input").detail
    batch = pa.record_batch([pa.array([1, 2]), pa.StringArray.from_buffers(2, pa.py_buffer(
        np.array([0, 1, 2], np.int32)), pa.py_buffer(b"ab"))], names=["item", "user"])  # fmt: skip
    with ipc.new_stream(str(path), batch.schema) as writer:
        writer.write_batch(batch)
    good = np.array([0, 1, 2], np.int32).tobytes()
    assert path.read_bytes().count(good) == 1
    path.write_bytes(path.read_bytes().replace(good, np.array([0, 1, 2**30], np.int32).tobytes()))
    assert "damaged" in refusal(path, "invalid_input").detail


def test_arrow_when_long_equal_strings_then_read_in_small_slices_or_refused(tmp_path: Path) -> None:
    long = pa.DictionaryArray.from_arrays(np.zeros(1000, np.int32), ["a" * 1_000_000])
    path = write(tmp_path, {"user": long, "item": list(range(1000))}, compression="zstd")
    refusal(path, "decoded_too_large")
    numbers = pa.DictionaryArray.from_arrays(np.zeros(1000, np.int32), ["1" + " " * 100_000])
    table = {"user": [1] * 1000, "item": list(range(1000)), "rating": numbers}
    assert set(read(write(tmp_path, table))[1]["rating"]) == {1.0}


@pytest.mark.parametrize("cut", [4, 8, 12, 60, 200, 400])
def test_arrow_when_cut_short_then_refused(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path, {"user": list(range(100)), "item": list(range(100))}, compression="uncompressed")
    path.write_bytes(path.read_bytes()[:-cut] if cut > 12 else path.read_bytes()[: 8 + cut])
    data = path.read_bytes()
    if cut > 12:
        path.write_bytes(data[: len(data) // 2])
    refusal(path, "invalid_input")
