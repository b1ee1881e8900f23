"""Content-addressed files. A blob is written once under its SHA-256 and never changed.

`Blobs` is what the rest of the service asks for; `LocalBlobs` keeps them on a local disk, `object_blobs.ObjectBlobs`
in an S3-like store. Everything is written to a staging file first, fsynced, hashed and renamed or uploaded, so a crash
at any time leaves either no blob or a whole one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

from sqlalchemy import Connection, func
from sqlalchemy.dialects.postgresql import insert

from app.store.ids import new_id
from app.store.tables import artifact, blob

CHUNK = 1 << 20


class CorruptBlob(Exception):
    """A stored file no longer has the bytes it was stored with."""


class NotAsPromised(Exception):
    """A file that a client sent to the store itself is not the one it said it would send."""


class StoreUnavailable(Exception):
    """The store of the blobs cannot be reached, or refuses us, now."""


class Incoming(Protocol):
    """A blob being written: `write` chunks, then `finish`; leaving the `with` block early removes it."""

    def __enter__(self) -> Incoming: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        ...

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    @property
    def sha256(self) -> str:
        """Of the bytes written so far, in hex."""
        ...

    def finish(self) -> StoredBlob:
        """Make it durable under its hash."""
        ...


@dataclass(frozen=True)
class StoredBlob:
    """The name and length of a durable blob."""

    sha256: str
    size: int


class Blobs(Protocol):
    """The interface of every blob store, local or S3-like; all but the local one may raise `StoreUnavailable`."""

    @property
    def staging(self) -> Path:
        """The folder on this machine where files are written before they are stored."""
        ...

    def check(self) -> None:
        """Raise `StoreUnavailable` when blobs can be neither read nor written."""
        ...

    def incoming(self) -> Incoming:
        """Start writing a blob whose bytes arrive in chunks."""
        ...

    def put_file(self, path: Path) -> StoredBlob:
        """Store a finished local file; the file is moved away."""
        ...

    def open(self, sha256: str) -> BinaryIO:
        """Read a blob; FileNotFoundError when it is not here."""
        ...

    def local_path(self, sha256: str) -> Path:
        """A path on this machine that holds the blob's very bytes (fetched first when the store is remote).

        `CorruptBlob`: they are others than were stored.
        """
        ...

    def delete(self, sha256: str) -> None:
        """Remove a blob that nothing refers to."""
        ...

    def iterate(self) -> Iterator[tuple[str, float]]:
        """Every stored hash with its modification time (seconds since 1970)."""
        ...


class LocalBlobs:
    """Blobs on a local disk: `<root>/sha256/ab/<hash>`; `staging` must be on the same file system."""

    def __init__(self, root: Path, staging: Path) -> None:
        self.root = root
        self.staging = staging
        (root / "sha256").mkdir(parents=True, exist_ok=True)
        staging.mkdir(parents=True, exist_ok=True)

    def check(self) -> None:
        """Raise `StoreUnavailable` when the folders cannot be written."""
        for folder in (self.root, self.staging):
            if not os.access(folder, os.W_OK | os.X_OK):
                raise StoreUnavailable(f"{folder.name} is not writable")

    def incoming(self) -> Incoming:
        """Start writing a blob whose bytes arrive in chunks."""
        return StagedBlob(self.staging, self._adopt)

    def put_file(self, path: Path) -> StoredBlob:
        """Store a finished local file (fsynced here); the file is moved away."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        size = path.stat().st_size
        self._adopt(path, sha256)
        return StoredBlob(sha256, size)

    def open(self, sha256: str) -> BinaryIO:
        """Read a blob; FileNotFoundError when it is not here."""
        return self._path(sha256).open("rb")

    def local_path(self, sha256: str) -> Path:
        """Where the blob lies, read once to be sure of it; FileNotFoundError when it is not here."""
        path = self._path(sha256)
        if not has_bytes_of(path, sha256):
            raise CorruptBlob(sha256)
        return path

    def delete(self, sha256: str) -> None:
        """Remove a blob that nothing refers to."""
        self._path(sha256).unlink(missing_ok=True)

    def iterate(self) -> Iterator[tuple[str, float]]:
        """Every stored hash with its modification time (seconds since 1970)."""
        for path in self.root.glob("sha256/*/*"):
            yield path.name, path.stat().st_mtime

    def free_bytes(self) -> int:
        """Bytes left on the disk."""
        return shutil.disk_usage(self.root).free

    def _path(self, sha256: str) -> Path:
        return self.root / "sha256" / sha256[:2] / sha256

    def _adopt(self, path: Path, sha256: str) -> None:
        target = self._path(sha256)
        target.parent.mkdir(exist_ok=True)
        path.chmod(0o440)
        os.utime(path)  # young: the sweeper must not take a blob that is about to be referred to
        # Also over a file that is there: that costs no more than comparing them, and mends one whose bytes changed.
        path.replace(target)
        path.unlink(missing_ok=True)  # still there when both are names of one file
        _fsync_folder(target.parent)


class StagedBlob:
    """A blob being written to a staging file, which `adopt(path, sha256)` takes away when it is whole."""

    def __init__(self, staging: Path, adopt: Callable[[Path, str], None]) -> None:
        self._adopt = adopt
        self._path = staging / new_id("up")
        self._file = self._path.open("xb")
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> StagedBlob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    @property
    def sha256(self) -> str:
        """Of the bytes written so far, in hex."""
        return self._hash.hexdigest()

    def finish(self) -> StoredBlob:
        """Make it durable under its hash."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._adopt(self._path, self.sha256)
        return StoredBlob(self.sha256, self.size)


def record(conn: Connection, tenant_id: str, owner: str, path: str, stored: StoredBlob, media_type: str) -> None:
    """Say in the database that `owner` has this blob at `path`; an earlier blob there is replaced."""
    conn.execute(insert(blob).values(sha256=stored.sha256, size=stored.size).on_conflict_do_nothing())
    statement = insert(artifact).values(
        owner=owner,
        path=path,
        tenant_id=tenant_id,
        sha256=stored.sha256,
        size=stored.size,
        media_type=media_type,
    )
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=["owner", "path"],
            set_={"sha256": stored.sha256, "size": stored.size, "media_type": media_type, "created_at": func.now()},
        )
    )


def read_verified(blobs: Blobs, sha256: str) -> Iterator[bytes]:
    """The whole blob in chunks; raises `CorruptBlob` at the end when its bytes changed on disk."""
    digest = hashlib.sha256()
    with blobs.open(sha256) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            yield chunk
    if digest.hexdigest() != sha256:
        raise CorruptBlob(sha256)


def has_bytes_of(path: Path, sha256: str) -> bool:
    """Whether the file still has the bytes it is named after."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
