"""HDF5 as h5py writes tables, the official data of Distill-CF in it, and files that lead elsewhere."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.unit.ingest.tables import read, refusal
from tests.unit.ingest.test_interactions import digests, refused, run, table
from worker.ingest.limits import Limits
from worker.kinds.interactions.dataset import load

USERS, ITEMS, EACH = 12, 8, 6


def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """User, item, rating and part: of each user four events are for training, one for validation, one for test."""
    rng = np.random.default_rng(3)
    user = np.repeat(np.arange(USERS), EACH)
    item = np.concatenate([rng.choice(ITEMS, EACH, replace=False) for _ in range(USERS)])
    return user, item, rng.integers(1, 6, len(user)), np.tile([0, 0, 0, 0, 1, 2], USERS)


def official(folder: Path, parts: np.ndarray | None = None, **options: object) -> list[Path]:
    """The folder that the papers' code reads: total_data.hdf5 and index.npz."""
    user, item, rating, part = rows()
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / "total_data.hdf5", "w") as file:
        for name, values in {"user": user, "item": item, "rating": rating}.items():
            options = {"compression": "gzip"} | options
            file.create_dataset(name, data=values, dtype="f4" if name == "rating" else "i4", **options)
    np.savez_compressed(folder / "index.npz", data=part if parts is None else parts)
    return [folder / "total_data.hdf5", folder / "index.npz"]


def zipped(paths: list[Path], folder: Path) -> Path:
    with zipfile.ZipFile(folder / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, f"ml-1m/{path.name}")
    return folder / "data.zip"


@pytest.mark.parametrize("form", ["files", "zip"])
def test_official_data_when_uploaded_then_the_split_they_bring(tmp_path: Path, form: str) -> None:
    paths = official(tmp_path / "up")
    result, out = run(paths if form == "files" else [zipped(paths, tmp_path)])
    data, found = load(out), result["statistics"]
    assert (found["rows"], found["users"], found["items"]) == (USERS * EACH, USERS, ITEMS)
    assert [found["events_per_split"][name] for name in ("train", "validation", "test")] == [48, 12, 12]
    assert result["detection"]["split"].endswith("index.npz")
    assert data.options["split"] == "files"
    user, item, _, part = rows()
    known = dict(zip(zip(user.astype(str), item.astype(str), strict=True), part, strict=True))
    ids = zip(data.user_ids[data.events.user], data.item_ids[data.events.item], strict=True)
    assert [known[pair] for pair in ids] == data.events.split.tolist()


def test_official_data_when_rows_are_in_no_part_then_left_out_and_told(tmp_path: Path) -> None:
    parts = rows()[3].copy()
    parts[:EACH] = -1
    result, _ = run(official(tmp_path / "up", parts))
    assert result["statistics"]["users"] == USERS - 1
    assert any("6 rows are in no part" in warning for warning in result["warnings"])


def test_official_data_when_another_split_is_asked_for_then_that_one(tmp_path: Path) -> None:
    user, item, rating, _ = rows()
    lines = [f"{u},{i},{r}" for u, i, r in zip(user, item, rating, strict=True)]
    expected = digests(run(table(tmp_path, lines, "user,item,rating"), split="leave_2", rows_in_time_order=True)[1])
    found = run(official(tmp_path / "up"), split="leave_2", rows_in_time_order=True)[1]
    assert digests(found) == expected


@pytest.mark.parametrize("parts", [np.zeros(5, int), np.full(USERS * EACH, 7), np.zeros((USERS * EACH, 1), int)])
def test_official_data_when_the_index_is_of_other_data_then_refused(tmp_path: Path, parts: np.ndarray) -> None:
    problem = refused("invalid_input", "/options/split", official(tmp_path / "up", parts))
    assert "72 rows" in problem.detail
    assert run(official(tmp_path / "up", parts)[:1])[0]["statistics"]["rows"] == USERS * EACH


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": None}, {"chunks": (7,), "shuffle": True}, {"compression": None, "chunks": (72,)},
     {"chunks": (3,), "maxshape": (None,)}],
)  # fmt: skip
def test_hdf5_when_stored_in_any_plain_way_then_the_same_rows(tmp_path: Path, options: dict) -> None:
    detection, found = read(official(tmp_path / "up", **options)[0])
    user, item, rating, _ = rows()
    assert detection["format"] == "hdf5"
    assert found["user"] == user.astype(str).tolist()
    assert found["item"] == item.astype(str).tolist()
    assert found["rating"] == rating.astype(float).tolist()


def test_hdf5_when_texts_and_truths_then_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["user"], file["item"] = np.array([b"ab", b"c"]), np.array([1, 2], ">i8")
        file["rating"] = np.array([True, False])
    assert read(tmp_path / "t.h5")[1] == {"user": ["ab", "c"], "item": ["1", "2"], "rating": [1.0, 0.0]}


# --- hostile files


def hostile(kind: str, folder: Path) -> Path:
    """A file that leads elsewhere, or unpacks without end, in the one way that its name says."""
    path = folder / "t.h5"
    (folder / "secret.bin").write_bytes(b"s" * 800)
    with h5py.File(folder / "other.h5", "w") as other:
        other["user"] = np.arange(100)
    with h5py.File(path, "w") as file:
        file["user"] = np.arange(100)
        match kind:
            case "external link":
                file["item"] = h5py.ExternalLink("other.h5", "/user")
            case "soft link":
                file["item"] = h5py.SoftLink("/user")
            case "external storage":
                file.create_dataset("item", (100,), "i8", external=[(str(folder / "secret.bin"), 0, 800)])
            case "virtual":
                layout = h5py.VirtualLayout((100,), "i8")
                layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "user", (100,))
                file.create_virtual_dataset("item", layout)
            case "group":
                file["item/model_weights"] = np.arange(100)
            case "filter":
                file.create_dataset("item", data=np.arange(100), compression="lzf")
            case "text of any length":
                file["item"] = ["a", "b"]
            case "matrix":
                file["item"] = np.zeros((10, 10))
            case "never written":
                file.create_dataset("item", (10**12,), "i8")
            case "chunks never written":
                file.create_dataset("item", (10**9,), "i8", chunks=(10**6,), compression="gzip")
            case "huge chunk":
                file.create_dataset("item", (10**9,), "i8", chunks=(10**8,), compression="gzip")
    return path


@pytest.mark.parametrize(
    "kind",
    ["external link", "soft link", "external storage", "virtual", "group", "filter", "text of any length", "matrix",
     "never written", "chunks never written", "huge chunk"],
)  # fmt: skip
def test_hdf5_when_it_leads_elsewhere_or_has_no_end_then_refused_by_name(tmp_path: Path, kind: str) -> None:
    problem = refusal(hostile(kind, tmp_path), "unsafe_format")
    assert "item" in problem.detail
    assert "to_parquet" in problem.hint


def test_hdf5_when_chunks_unpack_to_more_than_they_hold_then_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        for name in ("user", "item"):
            array = file.create_dataset(name, (1000,), "i8", chunks=(1000,), compression="gzip")
            array.id.write_direct_chunk((0,), zlib.compress(bytes(10_000_000)))
    assert set(read(tmp_path / "t.h5")[1]["user"]) == {"0"}  # the rest of the chunk is never unpacked
    with h5py.File(tmp_path / "t.h5", "a") as file:
        file["item"].id.write_direct_chunk((0,), zlib.compress(bytes(500)))
    refusal(tmp_path / "t.h5", "unsafe_format")


def test_hdf5_when_zeros_announce_more_than_the_limit_then_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        for name in ("user", "item"):
            file.create_dataset(name, data=np.zeros(3_000_000, "i8"), compression="gzip")
    refusal(tmp_path / "t.h5", "decoded_too_large", Limits(decoded_bytes=10_000_000))
    refusal(tmp_path / "t.h5", "decoded_too_large", Limits(rows=1_000_000))


def test_hdf5_when_bytes_are_damaged_then_rows_or_a_refusal(tmp_path: Path) -> None:
    data = official(tmp_path / "up")[0].read_bytes()
    rng = np.random.default_rng(1)
    stream, outcomes = tmp_path / "t.h5", set()
    for _ in range(150):
        changed = bytearray(data)
        for place in rng.integers(8, len(data), 12):
            changed[place] = int(rng.integers(256))
        stream.write_bytes(bytes(changed) if rng.random() < 0.8 else bytes(changed[: rng.integers(8, len(data))]))
        try:
            read(stream, Limits(decoded_bytes=50_000_000))
            outcomes.add("read")
        except Exception as problem:
            outcomes.add(getattr(problem, "code", repr(problem)))
    assert outcomes <= {"read", "unsafe_format", "invalid_input", "unknown_column", "decoded_too_large"}, outcomes


def test_npz_when_inside_a_zip_then_read_and_a_zip_under_its_name_refused(tmp_path: Path) -> None:
    user, item, *_ = rows()
    inner = io.BytesIO()
    np.savez(inner, user=user, item=item)
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("arrays.npz", inner.getvalue())
    assert read(tmp_path / "t.zip")[1]["user"] == user.astype(str).tolist()
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w") as archive:
        archive.writestr("table.csv", "user,item\n1,2\n")
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("arrays.npz", nested.getvalue())
    assert refusal(tmp_path / "t.zip", "invalid_input").detail
