"""Files that arrive in pieces: one in the staging folder for each unfinished upload, named by the upload's id.

A piece counts only when it is on the disk, and the database hears of it only then. What a crash left beyond that is
cut off by the next writer. One writer at a time: the lock is the operating system's, so it dies with its process.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.store.blobs import Blobs, StoredBlob

_WHOLE = ".whole"


class Locked(Exception):
    """Another request is writing this file."""


class StagedFile:
    """One locked file; made by `opened`."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle

    @property
    def size(self) -> int:
        """Bytes in the file; not all of them need be on the disk."""
        return os.fstat(self._handle).st_size

    def cut(self, size: int) -> None:
        """Forget what lies beyond `size` bytes, and write there next."""
        if self.size > size:
            os.truncate(self._path, size)

    def append(self, chunk: bytes) -> None:
        """Add bytes at the end."""
        with self._path.open("ab", buffering=0) as file:
            left = memoryview(chunk)
            while left:
                left = left[file.write(left) :]

    def sync(self) -> int:
        """Wait until everything written is on the disk; returns the size."""
        os.fsync(self._handle)
        return self.size

    def sha256(self) -> str:
        """Of the file, in hex."""
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def store(self, blobs: Blobs) -> StoredBlob:
        """Make the file a blob; it stays here too until `remove`, so that a crash in between costs nothing."""
        whole = self._path.with_name(self._path.name + _WHOLE)
        whole.unlink(missing_ok=True)
        os.link(self._path, whole)
        try:
            return blobs.put_file(whole)
        finally:
            whole.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink(missing_ok=True)


@contextmanager
def opened(folder: Path, upload_id: str) -> Generator[StagedFile]:
    """The upload's file, made when there is none, for this one writer; `Locked` while there is another."""
    path = folder / upload_id
    handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(upload_id) from None
        if not _still_named(path, handle):
            raise Locked(upload_id)  # it was finished or removed between the two calls
        yield StagedFile(path, handle)
    finally:
        os.close(handle)


def staged_size(folder: Path, upload_id: str) -> int:
    """Bytes that lie in an upload's file; 0 when there is none."""
    try:
        return (folder / upload_id).stat().st_size
    except FileNotFoundError:
        return 0


def forget(folder: Path, upload_id: str) -> None:
    """Remove what an upload left."""
    for name in (upload_id, upload_id + _WHOLE):
        with suppress(FileNotFoundError):
            (folder / name).unlink()


def owner_of(name: str) -> str:
    """The upload (or job) that a name in the staging folder belongs to."""
    return name.removesuffix(_WHOLE)


def _still_named(path: Path, handle: int) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(handle))
