from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.unit.ingest.tables import read, refusal, rows, write_all
from worker.ingest import table_shape, unsafe
from worker.ingest.sample import guess_encoding
from worker.kinds.interactions.roles import SCHEMA

EXPECTED = {
    "ratings.csv": ("delimited", ","), "bom.csv": ("delimited", ","), "crlf.csv": ("delimited", ","),
    "quoted.csv": ("delimited", ","), "semicolon.csv": ("delimited", ";"), "utf16.csv": ("delimited", ","),
    "headerless.csv": ("delimited", ","), "u.data": ("delimited", "\t"), "blanks.txt": ("delimited", " "),
    "ratings.dat": ("delimited", "::"), "ratings.csv.gz": ("delimited", ","), "ratings.zip": ("delimited", ","),
    "ml.inter": ("recbole", "\t"), "reviews.jsonl": ("jsonl", ""), "numbers.jsonl": ("jsonl", ""),
    "numbers.feather": ("arrow", ""), "text.arrows": ("arrow", ""),
    "numbers.parquet": ("parquet", ""), "text.parquet": ("parquet", ""),
    "arrays.npz": ("npz", ""), "text.npz": ("npz", ""),
}  # fmt: skip


def test_detect_when_any_format_then_named_and_read_alike(tmp_path: Path) -> None:
    table = rows()
    files = write_all(table, tmp_path)
    assert set(files) == set(EXPECTED)
    wanted = [[str(u), str(i), r, t] for u, i, r, t in table]
    for name, path in files.items():
        detection, found = read(path)
        guessed = detection["files"][0]
        assert (guessed["format"], guessed["delimiter"]) == EXPECTED[name], name
        assert [list(row) for row in zip(*found.values(), strict=True)] == wanted, name


def test_detect_when_the_name_lies_then_content_decides(tmp_path: Path) -> None:
    files = write_all(rows(), tmp_path)
    lying = tmp_path / "x.csv"
    lying.write_bytes(files["text.parquet"].read_bytes())
    assert read(lying)[0]["format"] == "parquet"


class Evil:
    def __reduce__(self) -> tuple:
        return (print, ("code ran",))


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def unsafe_files() -> dict[str, bytes]:
    found = {f"protocol{p}": pickle.dumps(Evil(), protocol=p) for p in range(6)}
    found |= {f"list{p}": pickle.dumps([Evil()] * 3, protocol=p) for p in (0, 1)}
    found["array0"] = pickle.dumps(np.arange(30_000), protocol=0)
    found["torch"] = zipped({"archive/data.pkl": pickle.dumps(Evil()), "archive/data/0": b"\0" * 8})
    found["torch-legacy"] = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    found["joblib-zlib"] = zlib.compress(pickle.dumps(Evil()))
    found["gzip"] = gzip.compress(pickle.dumps(Evil()))
    found["zip"] = zipped({"table.csv": pickle.dumps(Evil())})
    found["npz-with-pickle"] = zipped({"user.npy": b"", "x.pkl": b""})
    found["hdf5"] = b"\x89HDF\r\n\x1a\n" + b"\0" * 100
    found["keras"] = zipped({"config.json": b"{}", "model.weights.h5": b""})
    return found


@pytest.mark.parametrize("name", unsafe_files())
def test_detect_when_it_can_carry_code_then_refused_unopened(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "innocent.csv"
    path.write_bytes(unsafe_files()[name])
    problem = refusal(path, "unsafe_format")
    assert "to_parquet" in problem.hint
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "customer,item\n1,2\n0.5", "c,a\n1,2\n0.", "(a,b\n", "iid,uid\nx,y\n.", "I1\n.", "user,item\n1,2\n",
        "S'a'\n.", "item,user\n3,4\n", "}item\n",
    ],
)  # fmt: skip
def test_unsafe_when_text_begins_like_a_pickle_then_not_taken_for_one(text: str) -> None:
    assert not unsafe.looks_pickled(text.encode(), whole=True)


@pytest.mark.parametrize("whole", [True, False])
def test_unsafe_when_a_long_table_begins_with_the_letters_of_opcodes_then_not_taken_for_a_pickle(whole: bool) -> None:
    # "label" reads as LIST, APPEND, BUILD: opcodes that do nothing without an import.
    assert not unsafe.looks_pickled(b"label,f0,f1\ne,0.29,0.2\n" * 3000, whole=whole)


def test_unsafe_when_random_bytes_then_never_raises() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        unsafe.looks_pickled(rng.bytes(200), whole=True)


def test_detect_when_binary_or_foreign_then_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for data in (b"FEA1", b"BZh91AY", b"SQLite format 3\0", b"%PDF-1.4"):
        path.write_bytes(data + b"\0" * 50)
        assert refusal(path, "unsupported").hint
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    path.write_bytes(zipped({"a.tar": packed.getvalue()}))
    refusal(path, "unsupported")
    path.write_bytes(b"\x28\xb5\x2f\xfd" + b"\0" * 50)  # Zstandard, but damaged
    refusal(path, "invalid_input")
    path.write_bytes(zipped({"[Content_Types].xml": b"", "xl/workbook.xml": b""}))
    refusal(path, "unsupported")
    for data in (
        np.random.default_rng(0).bytes(5000),
        b"\0" * 100,
        b"ARROW1\0\0" + b"\0" * 50,
        bytes(range(1, 9)) * 100,
    ):
        path.write_bytes(data)
        refusal(path, "invalid_input")


def test_detect_when_empty_blank_or_one_column_then_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for text in ("", "\n\n \n", "hello\nworld\n", "\ufeff"):
        path.write_text(text)
        refusal(path, "invalid_input")


def test_detect_when_the_format_asked_for_differs_then_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("user,item\n1,2\n")
    assert refusal(path, "invalid_input", format="parquet").pointer == "/options/format"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("é,1".encode(), "utf-8"), ("é,1".encode("latin-1"), "latin-1"), ("“é”,1".encode("cp1252"), "cp1252"),
        ("é".encode("utf-16"), "utf-16"), (b"abc", "utf-8"),
    ],
)  # fmt: skip
def test_encoding_when_guessed_then_right(data: bytes, encoding: str) -> None:
    assert guess_encoding(data, whole=True) == encoding


def test_encoding_when_the_sample_ends_inside_a_character_then_utf8() -> None:
    assert guess_encoding("aé".encode()[:2], whole=False) == "utf-8"


@pytest.mark.parametrize(
    ("text", "delimiter", "header"),
    [
        ("a,b,2014-01-01 10:00:00\nc,d,2014-01-01 10:00:00\n", ",", False),
        ("1;2;3,5\n2;3;4,5\n", ";", False),
        ("u|v\n1|2\n", "|", True),
        ("alice bread\nbob milk\n", " ", False),
        ("who,what\n1,2\n", ",", True),
        ("user,item\n", ",", True),
    ],
)
def test_shape_when_guessed_then_delimiter_and_header(text: str, delimiter: str, header: bool) -> None:
    shape = table_shape.guess(text.splitlines(), SCHEMA.names)
    assert shape is not None
    assert (shape.delimiter, shape.header) == (delimiter, header)


def test_files_when_several_then_the_table_is_chosen_and_the_rest_named(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,2,3,4\n")
    (tmp_path / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,2,fun,4\n")
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n2,Heat,Action\n")
    (tmp_path / "README.txt").write_text("user item\nsome prose here\n")
    detection, found = read(sorted(tmp_path.iterdir()))
    assert [entry["file"] for entry in detection["files"]] == ["ratings.csv"]
    assert detection["titles"] == "movies.csv"
    assert {entry["file"] for entry in detection["ignored"]} == {"README.txt", "tags.csv"}
    assert found["rating"] == [3.0]
    assert "rating" not in read(sorted(tmp_path.iterdir()), file="tags*")[1]


def test_files_when_two_tables_are_equally_plausible_then_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item,rating\n1,2,3\n")
    (tmp_path / "b.csv").write_text("uid,sid,stars\n1,2,3\n")
    assert refusal(sorted(tmp_path.iterdir()), "invalid_input").pointer == "/options/file"


def test_files_when_parts_of_one_table_then_joined(tmp_path: Path) -> None:
    for part in (1, 2):
        (tmp_path / f"part{part}.csv").write_text(f"user,item\n{part},{part}\n")
    assert read(sorted(tmp_path.iterdir()))[1]["user"] == ["1", "2"]
