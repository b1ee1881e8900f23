"""Blobs in an S3-like store, with a cache of verified copies on the local disk.

An object's key ends in the SHA-256 of its bytes, so two writers of one key write the same bytes. Files are staged
and hashed here before they are put. Small ones are put once and conditionally (`If-None-Match: *`, with a SHA-256
checksum that the store compares); large ones in parts, which S3 shows only when the last has come. What is fetched
is hashed again before anybody sees it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from app.store.blobs import (
    CHUNK,
    CorruptBlob,
    Incoming,
    StagedBlob,
    StoredBlob,
    StoreUnavailable,
    has_bytes_of,
)
from app.store.ids import new_id

AT_ONCE_BYTES = 32_000_000  # up to here a file is put in one conditional request, from memory
_PART_BYTES = 16_000_000
READ_BYTES = 4 * CHUNK
_RETRIES = 4
_STILL_YOUNG = timedelta(hours=1)
_IN_USE_S = 90_000.0  # longer than the longest job: a cached file used within this may still be open in one


@dataclass(frozen=True)
class Bucket:
    """Where an S3-like store is. `url`: s3://bucket/prefix. Without keys the environment's AWS credentials count."""

    url: str
    endpoint: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""

    def open(self, *, patient: bool = True) -> S3Store:
        """A client of the bucket; asks nothing yet. ValueError: the address is not s3://bucket/prefix."""
        where = urlsplit(self.url)
        if where.scheme != "s3" or not where.netloc:
            raise ValueError("a blob_url looks like s3://bucket/prefix")
        given = {
            "endpoint": self.endpoint,
            "access_key_id": self.access_key,
            "secret_access_key": self.secret_key,
        }
        return S3Store(
            where.netloc,
            prefix=where.path.strip("/") or None,
            client_options={
                "connect_timeout": "5s" if patient else "2s",
                "timeout": "300s" if patient else "3s",
                "allow_http": self.endpoint.startswith("http://"),
            },
            retry_config={"max_retries": _RETRIES if patient else 0, "retry_timeout": timedelta(seconds=20)},
            region=self.region,
            checksum_algorithm="sha256",
            conditional_put="etag",
            **{name: value for name, value in given.items() if value},  # pyright: ignore[reportArgumentType]
        )


class ObjectBlobs:
    """Blobs at `<prefix>/sha256/ab/<hash>`; copies in `cache`, which is trimmed to about `cache_bytes`.

    `staging` and `cache` must be on one file system of this machine.
    """

    def __init__(self, bucket: Bucket, cache: Path, staging: Path, *, cache_bytes: int) -> None:
        self._store = bucket.open()
        self._impatient = bucket.open(patient=False)
        self._cache = cache
        self._cache_bytes = cache_bytes
        self.staging = staging
        cache.mkdir(parents=True, exist_ok=True)
        staging.mkdir(parents=True, exist_ok=True)

    def check(self) -> None:
        """Raise `StoreUnavailable` when the bucket does not answer or staging cannot be written."""
        if not os.access(self.staging, os.W_OK | os.X_OK):
            raise StoreUnavailable(f"{self.staging.name} is not writable")
        with translated():  # an object that is not there would look like a bucket that is not there
            obstore.list(self._impatient, "check").collect()

    def incoming(self) -> Incoming:
        """Start writing a blob whose bytes arrive in chunks; it is put when it is finished."""

        def adopt(path: Path, sha256: str) -> None:
            self._put(path, sha256)
            path.unlink()

        return StagedBlob(self.staging, adopt)

    def put_file(self, path: Path) -> StoredBlob:
        """Store a finished local file; the file moves into the cache."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
        self._put(path, sha256)
        self._keep(path, sha256)
        return StoredBlob(sha256, size)

    def open(self, sha256: str) -> BinaryIO:
        """Read a blob, from the cache when it is there; FileNotFoundError when it is not stored."""
        with contextlib.suppress(FileNotFoundError):
            return self._cached(sha256).open("rb")
        with translated(sha256):
            size = obstore.head(self._store, key_of(sha256))["size"]
        return cast(BinaryIO, io.BufferedReader(_Remote(self._store, sha256, size), READ_BYTES))

    def local_path(self, sha256: str) -> Path:
        """A verified copy on this machine. `CorruptBlob`: the store gave other bytes than were put."""
        path = self._cached(sha256)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)  # in use: see `_trim`
            if has_bytes_of(path, sha256):
                return path
            path.unlink()  # damaged here; the store's may be whole
        half = self.staging / new_id("get")
        try:
            self._fetch(sha256, half)
            self._keep(half, sha256)
        finally:
            half.unlink(missing_ok=True)
        self._trim()
        return path

    def delete(self, sha256: str) -> None:
        """Remove a blob that nothing refers to, and its copy here."""
        with translated(), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, key_of(sha256))
        self._cached(sha256).unlink(missing_ok=True)

    def iterate(self) -> Iterator[tuple[str, float]]:
        """Every stored hash with its modification time (seconds since 1970)."""
        with translated():
            for batch in obstore.list(self._store, "sha256", chunk_size=1000):
                for item in batch:
                    yield item["path"].rpartition("/")[2], item["last_modified"].timestamp()

    def _put(self, path: Path, sha256: str) -> None:
        size = path.stat().st_size
        with translated():
            if size <= AT_ONCE_BYTES:
                with contextlib.suppress(AlreadyExistsError):
                    obstore.put(self._store, key_of(sha256), path, mode="create")
                    return
            if self._is_there(sha256, size):
                return
            # Too large for one request, or there already but shortened or old: writing it anew makes it whole and
            # young, and the sweeper does not take a young blob that is about to be referred to.
            obstore.put(self._store, key_of(sha256), path, use_multipart=size > AT_ONCE_BYTES, chunk_size=_PART_BYTES)
            if not self._is_there(sha256, size):
                raise StoreUnavailable("the store did not keep what was put")

    def _is_there(self, sha256: str, size: int) -> bool:
        try:
            found = obstore.head(self._store, key_of(sha256))
        except FileNotFoundError:
            return False
        return found["size"] == size and datetime.now(UTC) - found["last_modified"] < _STILL_YOUNG

    def _fetch(self, sha256: str, target: Path) -> None:
        digest = hashlib.sha256()
        with translated(sha256), target.open("xb") as file:
            for chunk in obstore.get(self._store, key_of(sha256)).stream(READ_BYTES):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != sha256:
            raise CorruptBlob(sha256)

    def _keep(self, path: Path, sha256: str) -> None:
        target = self._cached(sha256)
        target.parent.mkdir(exist_ok=True)
        path.chmod(0o440)
        os.utime(path)
        path.replace(target)

    def _trim(self) -> None:
        """Forget the copies that were used longest ago, but none that a job may still read."""
        found = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._cache.glob("*/*"))
        over = sum(size for _, size, _ in found) - self._cache_bytes
        for used, size, path in found:
            if over <= 0 or used > time.time() - _IN_USE_S:
                return
            path.unlink(missing_ok=True)
            over -= size

    def free_bytes(self) -> int:
        """Bytes left on the disk of the cache."""
        return shutil.disk_usage(self._cache).free

    def _cached(self, sha256: str) -> Path:
        return self._cache / sha256[:2] / sha256


class _Remote(io.RawIOBase):
    """An object read in ranges, so that a slice of a large file is asked for alone."""

    def __init__(self, store: S3Store, sha256: str, size: int) -> None:
        self._store = store
        self._sha256 = sha256
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        with translated(self._sha256):
            data = obstore.get_range(self._store, key_of(self._sha256), start=self._at, length=wanted)
        buffer[: len(data)] = memoryview(data)
        self._at += len(data)
        return len(data)


def key_of(sha256: str) -> str:
    """Where a blob lies in the bucket."""
    return f"sha256/{sha256[:2]}/{sha256}"


@contextlib.contextmanager
def translated(sha256: str = "") -> Generator[None]:
    """The client's errors as ours; with a hash, a missing object is a missing file of that name."""
    try:
        yield
    except FileNotFoundError as error:
        if sha256:
            raise FileNotFoundError(2, "no such blob", sha256) from error
        raise StoreUnavailable("no such bucket") from error
    except BaseError as error:
        # Its text holds the address and the request; the class says enough to whoever reads a log.
        raise StoreUnavailable(type(error).__name__) from error
