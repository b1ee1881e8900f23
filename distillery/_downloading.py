"""Downloading a file so that it is whole: resumed with Range after a broken connection, checked against its
digest."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from distillery import errors
from distillery._effects import Close, Compute, Operation, Pause, Read, Reply, Request
from distillery._requests import open_stream

_BROKEN_IN_A_ROW = 5


@dataclass(frozen=True)
class Downloaded:
    """How much of a file has arrived, in bytes; `total` is None when the service does not say."""

    received: int
    total: int | None
    file: str


Progress = Callable[[Downloaded], object]


def download_file(path: str, target: Path, progress: Progress | None = None) -> Operation[Path]:
    """Fetch one file to `target`, which appears only once it is whole and its `Repr-Digest` is right.

    A broken connection is taken up again where it broke, as long as the file is still the same (`If-Range`).
    Raises `DigestMismatch`, `ConnectionLost`, `APIError`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    state = _Partial()
    try:
        with part.open("w+b") as out:
            while not state.whole:
                start = state.received
                try:
                    yield from _fetch(path, out, state, progress, target.name)
                except (errors.ConnectionLost, errors.ResponseTimeout):
                    if state.total is not None and state.received == state.total:
                        break  # it broke after the last byte
                    state.broken = 1 if state.received > start else state.broken + 1
                    if state.broken >= _BROKEN_IN_A_ROW:
                        raise
                    yield Pause(0.2 * 2**state.broken)
            yield Compute(partial(_check, out, state, target.name))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    yield Close()
    return target


def download_files(
    root: str, files: list[dict[str, Any]], folder: Path, progress: Progress | None = None
) -> Operation[Path]:
    """Fetch the files of a manifest ({"path", "sha256", "size"}) below `folder`; those already there are
    kept."""
    for file in files:
        target = folder / safe_path(file["path"])
        if target.is_file() and (yield Compute(partial(file_sha256, target))) == file["sha256"]:
            continue
        yield from download_file(f"{root}/{quote(file['path'])}", target, progress)
        if (yield Compute(partial(file_sha256, target))) != file["sha256"]:
            target.unlink()
            raise errors.DigestMismatch(f"{target.name} is not the file that the manifest describes.")
    return folder


def safe_path(name: str) -> Path:
    """A manifest's path as a relative path that stays below its folder; ValueError for any other."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\\" in name or ":" in pure.parts[0]:
        raise ValueError(f"The service names a file {name!r}, which would lie outside the folder.")
    return Path(*pure.parts)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class _Partial:
    """What has arrived so far, and of which file."""

    def __init__(self) -> None:
        self.received = 0
        self.total: int | None = None
        self.etag = ""
        self.digest: bytes | None = None
        self.broken = 0
        self.whole = False


def _fetch(path: str, out: Any, state: _Partial, progress: Progress | None, name: str) -> Operation[None]:
    headers = {"Accept-Encoding": "identity"}  # the digest is over the file, not over a compressed form of it
    if state.received and state.etag:
        headers |= {"Range": f"bytes={state.received}-", "If-Range": state.etag}
    reply: Reply = yield from open_stream(Request("GET", path, headers=headers))
    if reply.status == 307:  # a large file lies elsewhere, at an address that is good for some minutes
        reply = yield from open_stream(Request("GET", reply.headers["location"], headers=headers))
    if reply.status != 206:
        state.received = 0
        out.seek(0)
        out.truncate()
        length = reply.headers.get("content-length", "")
        state.total = int(length) if length.isdigit() else None
    state.etag = reply.headers.get("etag", "")
    state.digest = sha256_of(reply.headers.get("repr-digest", "")) or state.digest
    while (chunk := (yield Read())) is not None:
        out.write(chunk)
        state.received += len(chunk)
        if progress is not None:
            progress(Downloaded(state.received, state.total, name))
    if state.total is not None and state.received < state.total:
        raise errors.ConnectionLost(f"The connection ended after {state.received} of {state.total} bytes.")
    state.whole = True


def _check(out: Any, state: _Partial, name: str) -> None:
    if state.digest is None:
        return
    out.flush()
    out.seek(0)
    if hashlib.file_digest(out, "sha256").digest() != state.digest:
        raise errors.DigestMismatch(f"{name} is not the file that the service describes.")


def sha256_of(field: str) -> bytes | None:
    """The SHA-256 in a `Repr-Digest` or `Content-Digest` field (RFC 9530); None when it has none."""
    for member in field.split(","):
        name, _, value = member.strip().partition("=")
        if name == "sha-256" and value.startswith(":") and value.endswith(":"):
            try:
                return base64.b64decode(value[1:-1], validate=True)
            except binascii.Error:
                return None
    return None
