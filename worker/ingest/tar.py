"""Tar archives by their headers: which regular files they hold, and where; nothing is unpacked."""

from __future__ import annotations

import io
import tarfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.contract.errors import JobError
from worker.ingest.limits import Meter

MARK = slice(257, 262)
USTAR = b"ustar"


@dataclass(frozen=True)
class TarMember:
    """A file of `size` bytes at `offset` in a tar."""

    name: str
    offset: int
    size: int


def members(name: str, path: Path, meter: Meter) -> Iterator[TarMember]:
    """The regular files of a tar that is not compressed; folders are passed over.

    Raises `JobError` `unsafe_format` for links, devices, sparse files, names that leave the archive or collide.
    """
    seen: set[str] = set()
    end = path.stat().st_size
    with tarfile.open(path, "r:") as archive:
        for count, member in enumerate(archive, 1):
            meter.entries(count, name)
            parts = member.name.replace("\\", "/").split("/")
            key = unicodedata.normalize("NFC", member.name).casefold().rstrip("/")
            shown = repr(member.name[:80])
            problem = ""
            if ".." in parts or member.name.startswith("/") or (len(parts[0]) == 2 and parts[0][1] == ":"):
                problem = f"an entry that leaves the archive ({shown})"
            elif not (member.isreg() or member.isdir()) or member.issparse():
                problem = f"a link, a device or a sparse file ({shown})"
            elif key in seen:
                problem = f"two entries of the same name ({shown})"
            elif member.offset_data + member.size > end:
                problem = f"an entry that is longer than the archive ({shown})"
            if problem:
                raise JobError(
                    "unsafe_format",
                    f"{name} holds {problem}; it was not opened.",
                    hint="Make a plain tar of plain files.",
                )
            seen.add(key)
            if member.isreg():
                yield TarMember(member.name.removeprefix("./"), member.offset_data, member.size)


class Span(io.RawIOBase):
    """The bytes of one member, read from the file of its tar."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        super().__init__()
        self._file, self._left = path.open("rb"), size
        self._file.seek(offset)

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, b"" at the end."""
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Close the file of the tar."""
        self._file.close()
        super().close()
