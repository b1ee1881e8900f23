from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from tests.unit.ingest.tables import read, refusal


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


def header(shape: str, descr: str = "'<f8'", body: bytes = b"") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * ((64 - (len(text) + 11) % 64) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def archive(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "t.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for name, data in members.items():
            written.writestr(name, data)
    return path


@pytest.mark.parametrize("layout", ["csr", "csc", "coo"])
@pytest.mark.parametrize("make", [sparse.coo_array, sparse.coo_matrix])
def test_npz_when_sparse_then_its_stored_entries(tmp_path: Path, layout: str, make: type) -> None:
    dense = np.array([[0, 2, 0, 1], [0, 0, 0, 0], [3, 0, 0, 4.5]])
    path = tmp_path / "m.npz"
    sparse.save_npz(path, make(dense).asformat(layout))
    detection, found = read(path)
    assert detection["format"] == "npz"
    triples = sorted(zip(found["user"], found["item"], found["rating"], strict=True))
    assert triples == [("0", "1", 2.0), ("0", "3", 1.0), ("2", "0", 3.0), ("2", "3", 4.5)]


def test_npz_when_sparse_and_many_blocks_then_every_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.ingest.formats.npz._ROWS", 7)
    matrix = sparse.random_array((40, 30), density=0.3, format="csr", rng=np.random.default_rng(0))
    sparse.save_npz(tmp_path / "m.npz", matrix)
    _, found = read(tmp_path / "m.npz")
    again = sparse.coo_array(
        (found["rating"], ([int(u) for u in found["user"]], [int(i) for i in found["item"]])), shape=(40, 30)
    )
    assert (abs(again.tocsr() - matrix)).sum() == 0


def test_npz_when_stored_zeros_then_ratings_of_0_as_in_any_format(tmp_path: Path) -> None:
    matrix = sparse.csr_array((np.array([0.0, 1.0]), (np.array([0, 1]), np.array([0, 1]))))
    sparse.save_npz(tmp_path / "m.npz", matrix)
    assert read(tmp_path / "m.npz")[1] == {"user": ["0", "1"], "item": ["0", "1"], "rating": [0.0, 1.0]}
    sparse.save_npz(tmp_path / "truth.npz", matrix.astype(bool))
    assert read(tmp_path / "truth.npz")[1] == {"user": ["1"], "item": ["1"]}


def test_npz_when_named_arrays_then_roles(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "t.npz", uid=np.array(["a", "b"]), sid=np.array([1, 2], ">i4"), stars=np.array([1, 2], np.float16),
        other=np.zeros((2, 2)),
    )  # fmt: skip
    _, found = read(tmp_path / "t.npz")
    assert found == {"user": ["a", "b"], "item": ["1", "2"], "rating": [1.0, 2.0]}


def test_npz_when_arrays_differ_in_length_then_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", user=np.arange(3), item=np.arange(4))
    assert "differ in length" in refusal(tmp_path / "t.npz", "invalid_input").detail


def test_npz_when_header_claims_a_terabyte_then_refused(tmp_path: Path) -> None:
    lie = header("(1000000000000,)")
    problem = refusal(archive(tmp_path, {"user.npy": lie, "item.npy": lie}), "invalid_input")
    assert "announces 8,000,000,000,000 bytes but 0 follow" in problem.detail


@pytest.mark.parametrize(
    "bad",
    [
        header("(-1,)"), header("(3,)", body=b"\0" * 23), header("(3,)", "'|V0'"), header("(3,)", "[('a', '<i4')]"),
        header("(" + "1," * 5000 + ")"), b"\x93NUMPY\x09\x00", b"", header("__import__('os')"), header("(2,)", "'<U0'"),
    ],
)  # fmt: skip
def test_npz_when_a_header_lies_then_refused(tmp_path: Path, bad: bytes) -> None:
    problem_codes = {"invalid_input", "unsupported"}
    path = archive(tmp_path, {"user.npy": bad, "item.npy": npy(np.arange(3))})
    from worker.contract.errors import JobError

    with pytest.raises(JobError) as caught:
        read(path)
    assert caught.value.code in problem_codes


def test_npz_when_objects_then_unsafe(tmp_path: Path) -> None:
    objects = npy(np.array([{"a": 1}], dtype=object), allow_pickle=True)
    problem = refusal(archive(tmp_path, {"user.npy": objects, "item.npy": objects}), "unsafe_format")
    assert "astype" in problem.hint


def test_npz_when_the_index_leaves_the_shape_then_refused(tmp_path: Path) -> None:
    matrix = sparse.csr_array(np.eye(4))
    fields = {"format": np.array(b"csr"), "shape": np.array([4, 4]), "data": matrix.data}
    good = fields | {"indices": matrix.indices, "indptr": matrix.indptr}
    for name, value in {
        "indices": np.array([0, 1, 2, 99]), "indptr": np.array([0, 3, 1, 2, 4]), "shape": np.array([3, 4]),
    }.items():  # fmt: skip
        np.savez(tmp_path / "m.npz", **(good | {name: value}))
        refusal(tmp_path / "m.npz", "invalid_input")


def test_npz_when_a_header_is_not_even_tokens_then_refused(tmp_path: Path) -> None:
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4,\n"
    broken = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    refusal(archive(tmp_path, {"user.npy": broken}), "invalid_input")
