"""Uploaded files as streams of decoded bytes: plain, gzip, Zstandard, or one level of zip or tar whose members may be
gzip, with names checked, never believed."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from worker.contract.errors import JobError
from worker.ingest.limits import Meter, too_large
from worker.ingest.tar import MARK, USTAR, Span, members
from worker.ingest.unsafe import refuse_unsafe_members

GZIP, ZIP, ZSTD = b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd"
_ARCHIVES = (GZIP, ZIP, b"BZh", b"\xfd7zXZ\x00", ZSTD, b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")
# what Python's decoders raise on damaged input: more than they document
DAMAGE = (
    OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, KeyError,
    struct.error, tarfile.TarError,
)  # fmt: skip
HEAD_BYTES = 262_144
_COPY = 1 << 20


@dataclass(frozen=True)
class Source:
    """One file as the user named it: `path` its bytes, `member` its name inside a zip at `path`.

    `compression`: "", "gzip", "zstd", "zip" or "tar"; `packed_bytes`: the bytes it takes as uploaded; `archive`: the
    open zip, shared by its members, since reading its directory once for each of them takes time quadratic in their
    number; `offset`: where the member of a tar begins; `unpacked`: the file at `path`, where that is a temporary one;
    `gzipped`: the member is gzip, as in the raw files of OGB, and is decoded twice.
    """

    name: str
    path: Path
    compression: str
    packed_bytes: int
    member: str = ""
    archive: zipfile.ZipFile | None = field(default=None, compare=False, repr=False)
    gzipped: bool = False
    offset: int = 0
    unpacked: Any = field(default=None, compare=False, repr=False)

    def open(self, meter: Meter) -> Decoded:
        """A stream of the decoded bytes, counted against the limits."""
        if not self.compression:
            return Decoded(self.path.open("rb"), self, meter)
        if self.compression == "gzip":
            packed = self.path.open("rb")
            return Decoded(gzip.GzipFile(fileobj=packed, mode="rb"), self, meter, packed)
        if self.compression == "zstd":
            file = pa.OSFile(str(self.path))
            return Decoded(pa.CompressedInputStream(file, "zstd"), self, meter, file)
        try:
            member = Decoded(self._member(), self, meter)
        except DAMAGE as broken:
            raise damaged(self.name, broken) from broken
        # both layers count: a member may unpack to any number of gzip files that hold nothing
        return Decoded(gzip.GzipFile(fileobj=member, mode="rb"), self, meter, member) if self.gzipped else member

    def _member(self) -> Any:
        """The bytes of a member of an archive."""
        if self.compression == "tar":
            return Span(self.path, self.offset, self.packed_bytes)
        assert self.archive is not None  # noqa: S101 - a member is made with its zip
        return self.archive.open(self.member)

    def head(self, meter: Meter) -> tuple[bytes, bool]:
        """The first 256 kB of decoded bytes, and whether that is all."""
        with self.open(Meter(meter.limits)) as stream:
            data = stream.read(HEAD_BYTES + 1)
        return data[:HEAD_BYTES], len(data) <= HEAD_BYTES

    def seekable(self, meter: Meter) -> IO[bytes]:
        """The decoded bytes as a seekable file (an unpacked temporary one when compressed)."""
        if not self.compression:
            return self.path.open("rb")
        spool = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        with self.open(meter) as stream:
            while chunk := stream.read(_COPY):
                spool.write(chunk)
                meter.tick()
        spool.seek(0)
        return spool


class Decoded(io.RawIOBase):
    """A read-only stream that counts what comes out of a decoder and turns its failures into `JobError`."""

    def __init__(self, raw: Any, source: Source, meter: Meter, packed: Any = None) -> None:
        super().__init__()
        self._raw, self._source, self._meter, self._packed = raw, source, meter, packed
        self._before = meter.packed_done
        self._ceiling = meter.limits.text_ceiling(source.packed_bytes)
        self.decoded = 0

    def readable(self) -> bool:
        """Always; a decoder cannot seek."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, counting."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Up to `size` decoded bytes (-1: a megabyte at most, so that nothing is ever read whole)."""
        wanted = _COPY if size < 0 else size
        try:
            data = self._raw.read(wanted)
        except DAMAGE as broken:
            raise damaged(self._source.name, broken) from broken
        self.decoded += len(data)
        if self._source.compression and self.decoded > self._ceiling:
            raise too_large(
                f"{self._source.name} unpacks to far more than its {self._source.packed_bytes:,} bytes",
                self.decoded,
                self._ceiling,
                "text_ratio" if self._ceiling < self._meter.limits.decoded_bytes else "decoded_bytes",
            )
        self._meter.decoded(len(data), self._source.name)
        stream = self._source.compression in {"gzip", "zstd"} and self._packed
        done = self._packed.tell() if stream else self.decoded
        self._meter.packed_done = self._before + min(done, self._source.packed_bytes)
        return data

    def close(self) -> None:
        """Close the file below."""
        self._raw.close()
        if self._packed is not None:
            self._packed.close()
        super().close()


def damaged(name: str, broken: BaseException) -> JobError:
    """The refusal of a file that cannot be decoded."""
    return JobError(
        "invalid_input",
        f"{name} is damaged or cut short: {str(broken)[:200]}.",
        hint="Compress and upload the file again.",
    )


def expand(sources: Sequence[tuple[str, Path] | Path], meter: Meter) -> list[Source]:
    """The files of an upload, archives opened one level deep (an npz stays one file).

    `sources`: (logical name, path) pairs, or paths. A gzip file in an archive is one file, not an archive, and is
    decoded; a tar may be compressed as a whole.
    Raises `JobError` for links, unsafe names and nested archives.
    """
    found: list[Source] = []
    for given in sources:
        name, path = (given.name, given) if isinstance(given, Path) else (given[0], Path(given[1]))
        if len(sources) > 1 and _litter(name):
            continue
        if path.is_symlink() or not path.is_file():
            raise JobError("invalid_input", f"{name} is not a regular file.")
        with path.open("rb") as raw:
            magic = raw.read(MARK.stop)
        size = path.stat().st_size
        if magic[:2] == GZIP or magic[:4] == ZSTD:
            found.extend(_decompressed(name, path, "gzip" if magic[:2] == GZIP else "zstd", meter))
        elif magic[MARK] == USTAR:
            found.extend(_untar(name, path, meter))
        elif magic[:4] in {ZIP, b"PK\x05\x06"}:
            found.extend(_unzip(name, path, meter))
        else:
            found.append(Source(name, path, "", size))
    if not found:
        raise JobError("invalid_input", "The upload holds no file.", hint="Upload at least one table.")
    return found


def _decompressed(name: str, path: Path, compression: str, meter: Meter) -> list[Source]:
    """A compressed file, or the files of a compressed tar, which is unpacked into a temporary file."""
    plain = name.removesuffix(".gz" if compression == "gzip" else ".zst")
    source = Source(plain, path, compression, path.stat().st_size)
    with source.open(Meter(meter.limits)) as stream:
        head = stream.read(MARK.stop)
    if head[MARK] != USTAR:
        return [_not_nested(source, meter)]
    unpacked = tempfile.NamedTemporaryFile(prefix="ingest-")  # noqa: SIM115 - closed when its members are forgotten
    with source.open(Meter(meter.limits)) as stream:
        while chunk := stream.read(_COPY):
            unpacked.write(chunk)
            meter.tick()
    unpacked.flush()
    return _untar(name, Path(unpacked.name), meter, unpacked)


def _untar(name: str, path: Path, meter: Meter, unpacked: Any = None) -> list[Source]:
    try:
        found = [one for one in members(name, path, meter) if not _litter(one.name)]
    except DAMAGE as broken:
        raise damaged(name, broken) from broken
    refuse_unsafe_members(name, (one.name for one in found))
    sources = [Source(one.name, path, "tar", one.size, one.name, offset=one.offset, unpacked=unpacked) for one in found]
    return [_maybe_gzipped(name, source, meter) for source in sources]


def _unzip(name: str, path: Path, meter: Meter) -> list[Source]:
    with path.open("rb") as raw:
        meter.entries(promised_entries(raw), name)
    try:
        archive = zipfile.ZipFile(path)  # closed when the last of its members is forgotten
        members = archive.infolist()
    except DAMAGE as broken:
        raise damaged(name, broken) from broken
    meter.entries(len(members), name)
    seen: set[str] = set()
    for member in members:
        check_member(name, member, seen)
    files = [member for member in members if not member.is_dir() and not _litter(member.filename)]
    refuse_unsafe_members(name, (member.filename for member in files))
    if files and all(member.filename.endswith(".npy") for member in files):
        archive.close()
        return [Source(name, path, "", path.stat().st_size)]
    return [_member(name, path, member, archive, meter) for member in files]


def _member(name: str, path: Path, member: zipfile.ZipInfo, archive: zipfile.ZipFile, meter: Meter) -> Source:
    source = Source(member.filename, path, "zip", max(member.compress_size, 1), member.filename, archive)
    return _maybe_gzipped(name, source, meter)


def _maybe_gzipped(name: str, found: Source, meter: Meter) -> Source:
    """A member of an archive, marked where it is gzip."""
    with found.open(Meter(meter.limits)) as stream:
        gzipped = stream.read(len(GZIP)) == GZIP
    if gzipped:
        found = replace(found, name=found.member.removesuffix(".gz"), gzipped=True)
        refuse_unsafe_members(name, (found.name,))
    return _not_nested(found, meter)


def _litter(filename: str) -> bool:
    """What systems leave beside data: hidden files and macOS's folder, Windows' and Spark's marks."""
    base = filename.rsplit("/", 1)[-1]
    marks = ("_SUCCESS", "_metadata", "_common_metadata", "_started", "_committed")
    return filename.startswith("__MACOSX/") or base.startswith((".", *marks)) or base == "Thumbs.db"


def check_member(archive: str, member: zipfile.ZipInfo, seen: set[str]) -> None:
    """Refuse a zip entry that is a link or device, encrypted, leaves the archive, or collides with another."""
    shown = repr(member.filename[:80])
    parts = member.orig_filename.replace("\\", "/").split("/")
    key = unicodedata.normalize("NFC", member.filename).casefold().rstrip("/")
    kind = stat.S_IFMT(member.external_attr >> 16)
    problem = ""
    if ".." in parts or member.orig_filename.startswith(("/", "\\")) or "\x00" in member.orig_filename:
        problem = f"an entry that leaves the archive ({shown})"
    elif len(parts[0]) == 2 and parts[0][1] == ":":
        problem = f"an entry with a drive letter ({shown})"
    elif kind and kind not in {stat.S_IFREG, stat.S_IFDIR}:
        problem = f"a link or a device ({shown})"
    elif key in seen:
        problem = f"two entries of the same name ({shown})"
    elif member.flag_bits & 1:
        problem = f"an encrypted entry ({shown})"
    if problem:
        raise JobError(
            "unsafe_format", f"{archive} holds {problem}; it was not opened.", hint="Make a plain zip of plain files."
        )
    seen.add(key)


def _not_nested(source: Source, meter: Meter) -> Source:
    """Refuse an archive inside an archive; an npz is one by its form alone, and counted like one that lies bare."""
    with source.open(Meter(meter.limits)) as stream:
        head = stream.read(8)
    if head.startswith(_ARCHIVES) and not (head.startswith(ZIP) and source.name.lower().endswith(".npz")):
        raise JobError(
            "unsafe_format",
            f"{source.name} is an archive inside an archive; it was not opened.",
            hint="Upload the file itself, or compressed once.",
        )
    return source


def promised_entries(raw: IO[bytes]) -> int:
    """Entries by the zip's end record, read before Python builds an object for each of them."""
    size = raw.seek(0, 2)
    raw.seek(max(0, size - 65_557))
    tail = raw.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        return 0
    entries, directory_bytes = struct.unpack("<HI", tail[at + 10 : at + 16])
    locator = tail.rfind(b"PK\x06\x07", 0, at)
    if (entries == 0xFFFF or directory_bytes == 0xFFFFFFFF) and locator >= 0:
        raw.seek(min(struct.unpack("<Q", tail[locator + 8 : locator + 16])[0], size))
        record = raw.read(56)
        if record.startswith(b"PK\x06\x06") and len(record) == 56:
            entries, directory_bytes = struct.unpack("<QQ", record[32:48])
    # the directory is what gets read, whatever count stands beside it; 46 bytes is the shortest entry
    return max(entries, 0 if directory_bytes > size else directory_bytes // (46 + 256))
