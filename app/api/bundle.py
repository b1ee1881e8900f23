"""The files of a summary or a report as one zip, in a fixed order with fixed times: equal content has an equal hash.

The zip is never written anywhere. Its layout (PKWARE APPNOTE 6.3, sections 4.3.7, 4.3.12, 4.3.16) follows from the
files' names, sizes and CRCs. Text is deflated while it is sent, always the same way; what is compressed already, as
arrays and pictures are, is stored. So any slice can be read again from the stored files.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from app.api.downloads import BlobContent, verified
from app.api.problems import Problem
from app.store.blobs import Blobs, CorruptBlob

_UTF8 = 0x0800
_DATE = (1 << 5) | 1  # 1 January 1980, the first day a zip can name; the time is 0
_MODE = 0o100644 << 16
_LARGEST = 0xFFFF_FFFF
_STORED, _DEFLATED = 0, 8
_TEXT = frozenset({"css", "csv", "html", "json", "jsonl", "md", "py", "svg", "tsv", "txt"})


@dataclass(frozen=True)
class Deflated:
    """A stored file as a deflate stream (RFC 1951). `size`: of the stream."""

    content: BlobContent
    size: int

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`; what is before them is deflated again. `CorruptBlob` when it changed."""
        at = 0
        for chunk in deflated(self.content.read(0, self.content.size)):
            first, last = max(start - at, 0), min(stop - at, len(chunk))
            if first < last:
                yield chunk[first:last]
            at += len(chunk)
            if at >= stop:
                return
        raise CorruptBlob(self.content.sha256)


def deflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces as one raw deflate stream of level 6."""
    deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    for piece in pieces:
        if chunk := deflater.compress(piece):
            yield chunk
    yield deflater.flush()


@dataclass(frozen=True)
class ZipContent:
    """The zip as bytes that can be sliced: literal headers between files."""

    sha256: str
    size: int
    parts: tuple[bytes | BlobContent | Deflated, ...]

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`, in pieces."""
        at = 0
        for part in self.parts:
            length = len(part) if isinstance(part, bytes) else part.size
            first, last = max(start - at, 0), min(stop - at, length)
            if first < last:
                if isinstance(part, bytes):
                    yield part[first:last]
                else:
                    yield from part.read(first, last)
            at += length


def zip_of(blobs: Blobs, files: Sequence[Mapping[str, Any]]) -> ZipContent:
    """The zip of these artifacts (`path`, `sha256`, `size`), in the order of their paths' bytes."""
    ordered = sorted(files, key=lambda file: str(file["path"]).encode())
    return _zip(blobs, tuple((file["path"], file["sha256"], file["size"]) for file in ordered))


# Reading every file for its CRC and the zip's hash is worth remembering: neither can change.
@lru_cache(maxsize=256)
def _zip(blobs: Blobs, files: tuple[tuple[str, str, int], ...]) -> ZipContent:
    parts: list[bytes | BlobContent | Deflated] = []
    directory: list[bytes] = []
    offset = 0
    for path, sha256, size in files:
        name = path.encode()
        crc, content = _entry(BlobContent(blobs, sha256, size), path)
        if size + offset > _LARGEST:
            raise Problem("unsupported", "This is too large for one zip; fetch its files one by one.")
        method = _DEFLATED if isinstance(content, Deflated) else _STORED
        fields = (crc, content.size, size, len(name))
        header = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, _UTF8, method, 0, _DATE, *fields, 0) + name
        entry = (b"PK\x01\x02", 0x0314, 20, _UTF8, method, 0, _DATE, *fields, 0, 0, 0, 0, _MODE, offset)
        directory.append(struct.pack("<4s6H3L5H2L", *entry) + name)
        parts += [header, content]
        offset += len(header) + content.size
    entries = b"".join(directory)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(files), len(files), len(entries), offset, 0)
    parts.append(entries + end)
    unnamed = ZipContent("", offset + len(entries) + len(end), tuple(parts))
    digest = hashlib.sha256()
    for chunk in unnamed.read(0, unnamed.size):
        digest.update(chunk)
    return ZipContent(digest.hexdigest(), unnamed.size, unnamed.parts)


def _entry(content: BlobContent, path: str) -> tuple[int, BlobContent | Deflated]:
    """The CRC-32 of a file, and the file as it goes into the zip.

    The very bytes that were stored are read: a zip's own hash would be right for a damaged file, too.
    """
    crc = 0

    def read() -> Iterator[bytes]:
        nonlocal crc
        for chunk in verified(content):
            crc = zlib.crc32(chunk, crc)
            yield chunk

    if path.rpartition(".")[2] not in _TEXT:
        for _ in read():
            pass
        return crc, content
    size = sum(map(len, deflated(read())))
    return crc, Deflated(content, size) if size < content.size else content
