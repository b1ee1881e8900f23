"""Uploading a dataset: the files with their digests, the commit, and the job that reads them."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from distillery import errors
from distillery._effects import Compute, Operation, Request
from distillery._following import wait
from distillery._requests import call, get_json, post_json
from distillery._resuming import Sent, send_resumably

CHUNK_BYTES = 1 << 20
RESUMABLE_ABOVE_BYTES = 64 << 20  # a file this small is sent again as a whole when its connection breaks
DIRECT_BYTES = range(8 << 20, (5 << 30) + 1)  # worth a request for an address; S3 takes no more in one PUT
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class LocalFile:
    """A file to upload: where it lies, the name it gets, its size in bytes and its SHA-256."""

    path: Path
    name: str
    size: int
    sha256: bytes


@dataclass(frozen=True)
class Uploaded:
    """How much of all files has been sent, in bytes."""

    sent: int
    total: int
    file: str


def collect(paths: Paths) -> list[tuple[Path, str]]:
    """The files behind paths and folders, with the names they get: relative to the folder, or the file's
    own name.

    Hidden files are left out. Raises FileNotFoundError, and ValueError when two files would get one name.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: list[tuple[Path, str]] = []
    for path in map(Path, given):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file())
            names = [(p, p.relative_to(path)) for p in inside]
            found += [(p, n.as_posix()) for p, n in names if not any(part.startswith(".") for part in n.parts)]
        elif path.is_file():
            found.append((path, path.name))
        else:
            raise FileNotFoundError(f"There is no file or folder {path}.")
    if not found:
        raise FileNotFoundError(f"There are no files in {', '.join(map(str, given))}.")
    names = [name for _, name in found]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"Two files would both be called {twice}; upload their folder instead.")
    return found


def upload(
    paths: Paths,
    *,
    kind: str,
    name: str | None,
    columns: Mapping[str, str | int],
    options: Mapping[str, Any],
    progress: Callable[[Uploaded], object] | None,
    timeout_s: float | None,
) -> Operation[dict[str, Any]]:
    """Create a dataset, send its files, commit them and wait until they are read; returns the dataset's view.

    The events of the reading job are emitted. Raises `JobFailed` when the files cannot be read.
    """
    found = collect(paths)
    files: list[LocalFile] = []
    for path, file_name in found:
        files.append((yield Compute(partial(_described, path, file_name))))
    body: dict[str, Any] = {"kind": kind, "name": name or _name_for(found)}
    if columns:
        body["columns"] = {role: str(column) for role, column in columns.items()}
    if options:
        body["options"] = dict(options)
    dataset = yield from post_json("/v1/datasets", body)
    total, before = sum(file.size for file in files), 0
    for file in files:
        address = yield from _address(dataset["id"], file)  # good for some minutes only, so asked for now
        yield from _send(dataset["id"], file, address, before, total, progress)
        before += file.size
    committed = yield from post_json(
        f"/v1/datasets/{dataset['id']}/commit", {"files": [_entry(file) for file in files]}
    )
    yield from wait(committed["job"]["id"], timeout_s=timeout_s)
    return (yield from get_json(f"/v1/datasets/{dataset['id']}"))


def _address(dataset_id: str, file: LocalFile) -> Operation[dict[str, Any] | None]:
    """Where a large file goes straight to the store; None when it is to be sent to the service."""
    if file.size not in DIRECT_BYTES:
        return None
    try:
        answer = yield from post_json(f"/v1/datasets/{dataset_id}/upload-urls", {"files": [_entry(file)]})
    except errors.APIError as error:
        if error.code == "unsupported" or error.status in (404, 405):  # those: a service older than this client
            return None
        raise
    return answer["files"][0]


def _send(
    dataset_id: str,
    file: LocalFile,
    address: Mapping[str, Any] | None,
    before: int,
    total: int,
    progress: Callable[[Uploaded], object] | None,
) -> Operation[None]:
    def tell(sent: int) -> None:
        if progress is not None:
            progress(Uploaded(before + sent, total, file.name))

    if address is not None:
        yield from call(Request("PUT", address["url"], headers=address["headers"], body=partial(_chunks, file, tell)))
    elif file.size <= RESUMABLE_ABOVE_BYTES:
        yield from call(_put(dataset_id, file, tell))
    else:
        yield from send_resumably(Sent(file.path, dataset_id, file.name, file.size, file.sha256.hex(), tell))


def _chunks(file: LocalFile, tell: Callable[[int], object]) -> Iterator[bytes]:
    sent = 0
    with file.path.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            yield chunk
            sent += len(chunk)
            tell(sent)


def _put(dataset_id: str, file: LocalFile, tell: Callable[[int], object]) -> Request:
    headers = {
        "Content-Digest": f"sha-256=:{base64.b64encode(file.sha256).decode()}:",
        "Content-Length": str(file.size),
        "Content-Type": mimetypes.guess_type(file.name)[0] or "application/octet-stream",
    }
    # Written out by ourselves, an encoded "/" would not be the path's own.
    return Request(
        "PUT", f"/v1/datasets/{dataset_id}/files/{quote(file.name)}", headers=headers, body=partial(_chunks, file, tell)
    )


def _described(path: Path, name: str) -> LocalFile:
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            digest.update(chunk)
        return LocalFile(path, name, content.tell(), digest.digest())


def _entry(file: LocalFile) -> dict[str, Any]:
    return {"path": file.name, "sha256": file.sha256.hex(), "size": file.size}


def _name_for(found: list[tuple[Path, str]]) -> str:
    first, name = found[0]
    if len(found) == 1:
        return first.stem
    return first.parents[len(Path(name).parts) - 1].resolve().name or first.stem
