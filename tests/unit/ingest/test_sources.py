from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.ingest.tables import read, refusal
from worker.contract.errors import JobError
from worker.ingest.limits import Limits, Meter
from worker.ingest.sources import expand

CSV = b"user,item\n1,2\n"


def archive(folder: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    path = folder / "upload.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for name, data in members:
            written.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "name", ["../x.csv", "a/../../x.csv", "/etc/x.csv", "..\\x.csv", "\\x.csv", "C:/x.csv", "c:\\x.csv"]
)
def test_zip_when_a_name_leaves_it_then_refused(tmp_path: Path, name: str) -> None:
    assert (
        "leaves" in (detail := refusal(archive(tmp_path, [(name, CSV)]), "unsafe_format").detail) or "drive" in detail
    )


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o010644])
def test_zip_when_an_entry_is_a_link_or_a_device_then_refused(tmp_path: Path, mode: int) -> None:
    link = zipfile.ZipInfo("x.csv")
    link.external_attr = mode << 16
    assert "a link or a device" in refusal(archive(tmp_path, [(link, b"/etc/passwd")]), "unsafe_format").detail


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["x.csv", "X.CSV"])
def test_zip_when_names_collide_then_refused(tmp_path: Path, second: str) -> None:
    assert "same name" in refusal(archive(tmp_path, [("x.csv", CSV), (second, CSV)]), "unsafe_format").detail


def test_zip_when_nested_then_refused(tmp_path: Path) -> None:
    inner = archive(tmp_path, [("x.csv", CSV)]).read_bytes()
    refusal(archive(tmp_path, [("inner.csv", inner)]), "unsafe_format")
    refusal(archive(tmp_path, [("x.csv", gzip.compress(gzip.compress(CSV)))]), "unsafe_format")
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(gzip.compress(CSV)))
    refusal(path, "unsafe_format")


def test_zip_when_a_member_is_gzip_then_it_is_read_and_both_layers_are_counted(tmp_path: Path) -> None:
    assert decoded(archive(tmp_path, [("folder/x.csv.gz", gzip.compress(CSV))]), Limits()) == ("folder/x.csv", CSV)
    tight = Limits(text_ratio=2, text_slack_bytes=100_000)
    for swollen in (gzip.compress(b"1,2\n" * 1_000_000), gzip.compress(b"") * 50_000):
        with pytest.raises(JobError, match="far more than"):
            decoded(archive(tmp_path, [("x.csv.gz", swollen)]), tight)


def decoded(path: Path, limits: Limits) -> tuple[str, bytes]:
    """The name and the content of the one file of an upload."""
    (source,) = expand([path], Meter(limits))
    with source.open(Meter(limits)) as stream:
        return source.name, b"".join(iter(lambda: stream.read(1 << 16), b""))


def test_zip_when_too_many_entries_then_refused_before_they_are_listed(tmp_path: Path) -> None:
    path = archive(tmp_path, [(f"{n}.csv", CSV) for n in range(30)])
    refusal(path, "decoded_too_large", Limits(archive_entries=20))
    # an end record that claims millions
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x05\x06")
    data[at + 8 : at + 12] = struct.pack("<HH", 60_000, 60_000)
    path.write_bytes(data)
    refusal(path, "decoded_too_large", Limits(archive_entries=50_000))


def test_zip_when_a_size_lies_then_refused(tmp_path: Path) -> None:
    text = b"user,item\n" + b"1,2\n" * 20_000
    path = archive(tmp_path, [("x.csv", text)])
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 1000)
    path.write_bytes(data)
    refusal(path, "invalid_input")


def test_zip_when_encrypted_or_cut_then_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, [("x.csv", CSV)])
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-10])
    refusal(path, "invalid_input")
    at = data.rfind(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(data)
    refusal(path, "unsafe_format")


def test_zip_when_empty_then_refused(tmp_path: Path) -> None:
    refusal(archive(tmp_path, []), "invalid_input")


def test_zip_when_litter_lies_beside_then_read(tmp_path: Path) -> None:
    path = archive(tmp_path, [("a/x.csv", CSV), ("__MACOSX/a/._x.csv", b"\0"), ("a/.DS_Store", b"\0")])
    assert read(path)[1]["user"] == ["1"]


def bomb(megabytes: int) -> bytes:
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=9) as packed:
        packed.write(b"user,item\n")
        for _ in range(megabytes):
            packed.write(b"1,2\n" * 250_000)
    return stream.getvalue()


def test_gzip_when_a_bomb_then_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(bomb(100))
    assert path.stat().st_size < 300_000
    assert "DISTILLERY_INGEST_TEXT_RATIO" in refusal(path, "decoded_too_large").detail


def test_zip_when_a_bomb_then_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, [("x.csv", b"user,item\n" + b"1,2\n" * 25_000_000)])
    assert path.stat().st_size < 300_000
    refusal(path, "decoded_too_large")


def test_gzip_when_cut_or_followed_by_junk_then_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    data = gzip.compress(b"user,item\n" + b"".join(b"%d,%d\n" % (n, n) for n in range(200_000)))
    for damaged in (data[: len(data) // 2], data + b"junk", data[:5000] + b"\xff" * 100 + data[5100:], data[:6]):
        path.write_bytes(damaged)
        refusal(path, "invalid_input")


def test_gzip_when_members_are_joined_then_all_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(CSV) + gzip.compress(b"3,4\n"))
    assert read(path)[1]["user"] == ["1", "3"]


def test_source_when_a_link_or_a_folder_then_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(CSV)
    (tmp_path / "link.csv").symlink_to(tmp_path / "x.csv")
    refusal(tmp_path / "link.csv", "invalid_input")
    refusal(tmp_path, "invalid_input")
    refusal([], "invalid_input")


def test_tar_when_plain_or_compressed_then_its_files_are_read(tmp_path: Path) -> None:
    inner = {
        "data/a.csv": b"user,item\n1,2\n",
        "data/b.csv.gz": gzip.compress(b"user,item\n3,4\n"),
        "data/.hidden": b"x",
    }
    for mode, name in (("w", "d.tar"), ("w:gz", "d.tar.gz")):
        with tarfile.open(tmp_path / name, mode) as archive:
            for member, data in inner.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        found = {
            source.name: source.open(Meter(Limits())).read(100) for source in expand([tmp_path / name], Meter(Limits()))
        }
        assert found == {"data/a.csv": b"user,item\n1,2\n", "data/b.csv": b"user,item\n3,4\n"}


def test_zstd_when_far_larger_than_packed_then_refused(tmp_path: Path) -> None:
    with pa.OSFile(str(tmp_path / "d.csv.zst"), "wb") as raw, pa.CompressedOutputStream(raw, "zstd") as packed:
        packed.write(b"0" * 1_000_000)
    (source,) = expand([tmp_path / "d.csv.zst"], Meter(Limits()))
    assert source.name == "d.csv"
    stream = source.open(Meter(Limits(text_ratio=2, text_slack_bytes=1000)))
    with pytest.raises(JobError) as refused:
        list(iter(lambda: stream.read(10_000), b""))
    stream.close()
    assert refused.value.code == "decoded_too_large"
