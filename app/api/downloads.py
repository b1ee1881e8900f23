"""Downloads (RFC 9110, ranges; RFC 9530, digests): files by hash, in pieces, verified on the way out.

A whole file is checked against its hash while it is sent, and its last piece is held back until the hash is right:
a damaged file never arrives whole. Ranges cannot be checked that way; their Repr-Digest lets the client do it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.api.answers import names_tag
from app.api.digests import digest_field
from app.api.problems import Problem
from app.api.services import Services, services_of
from app.store.api_keys import Identity
from app.store.audit import record_reading
from app.store.blobs import CHUNK, Blobs, CorruptBlob

_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII)


class Content(Protocol):
    """Bytes that never change: their hash, their size, and any slice of them."""

    @property
    def sha256(self) -> str:
        """Of all bytes, in hex."""
        ...

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`, in pieces."""
        ...


@dataclass(frozen=True)
class BlobContent:
    """A stored file."""

    blobs: Blobs
    sha256: str
    size: int

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`; `CorruptBlob` when the file is shorter than it was."""
        with self.blobs.open(self.sha256) as file:
            file.seek(start)
            left = stop - start
            while left > 0:
                chunk = file.read(min(CHUNK, left))
                if not chunk:
                    raise CorruptBlob(self.sha256)
                left -= len(chunk)
                yield chunk


@dataclass(frozen=True)
class BytesContent:
    """A document made in memory."""

    data: bytes

    @property
    def sha256(self) -> str:
        """Of the document."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def size(self) -> int:
        """Of the document."""
        return len(self.data)

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """One slice."""
        yield self.data[start:stop]


async def send(
    request: Request,
    content: Content,
    media_type: str,
    *,
    filename: str | None = None,
    headers: Mapping[str, str] | None = None,
    cache: str = "private, max-age=31536000, immutable",
) -> Response:
    """Answer with the content or the range asked for. `filename`: offer it as a file of this name."""
    services, tag = services_of(request), f'"{content.sha256}"'
    sent = {
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Cache-Control": cache,
        "X-Content-Type-Options": "nosniff",
        "Repr-Digest": digest_field(content.sha256),
        **(headers or {}),
    }
    if filename is not None:
        sent["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
    if names_tag(request.headers.get("if-none-match"), tag, weak=True):
        return Response(status_code=304, headers=sent)
    wanted = wanted_range(request.headers.get("range"), content.size)
    if_range = request.headers.get("if-range")
    if wanted is None or (if_range is not None and if_range.strip() != tag):
        sent["Content-Digest"] = sent["Repr-Digest"]
        if request.method == "HEAD":
            return Response(
                status_code=200, headers={**sent, "Content-Length": str(content.size)}, media_type=media_type
            )
        pieces = verified(content)
        return await _streamed(services, pieces, content.size, 200, sent, media_type)
    start, stop = wanted
    if start >= stop:
        raise Problem("range_not_satisfiable", headers={"Content-Range": f"bytes */{content.size}"})
    sent["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
    if request.method == "HEAD":
        return Response(status_code=206, headers={**sent, "Content-Length": str(stop - start)}, media_type=media_type)
    return await _streamed(services, content.read(start, stop), stop - start, 206, sent, media_type)


def note_download(request: Request, conn: Connection, identity: Identity, act: str, one: str) -> None:
    """Note in the audit log, once a minute, that somebody fetches files of a thing; HEAD fetches none."""
    if request.method != "HEAD":
        record_reading(conn, identity.tenant_id, identity.key_id, act, one)


def at_the_store(request: Request, file: Mapping[str, Any], filename: str) -> Response | None:
    """307 to a presigned address of a large file, where the service gives out such; None: it is to be sent from here.

    What a redirect cannot say is asked of us as ever: whether the client has it already, and what HEAD tells.
    """
    services = services_of(request)
    settings, known = services.settings, request.headers.get("if-none-match")
    if services.direct is None or request.method != "GET" or known is not None:
        return None
    if file["size"] <= settings.presigned_download_bytes:
        return None
    url = services.direct.download(file["sha256"], filename, settings.presigned_download_s)
    return Response(status_code=307, headers={"Location": url, "Cache-Control": "no-store"})


def wanted_range(header: str | None, size: int) -> tuple[int, int] | None:
    """(start, stop) of a single byte range; None to send all: no range, several, or one that is not well-formed.

    An empty pair (start >= stop) stands for a range that cannot be satisfied.
    """
    found = _RANGE.fullmatch(header) if header else None
    if found is None:
        return None
    first, last = found.groups()
    if not first:
        return (max(0, size - int(last)), size) if last else None
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size


def verified(content: Content) -> Iterator[bytes]:
    """All bytes; the last piece comes only when the hash of all is right, else `CorruptBlob` is raised."""
    digest, held = hashlib.sha256(), b""
    for chunk in content.read(0, content.size):
        if held:
            yield held
        digest.update(chunk)
        held = chunk
    if digest.hexdigest() != content.sha256:
        raise CorruptBlob(content.sha256)
    yield held


async def _streamed(
    services: Services, pieces: Iterator[bytes], size: int, status: int, headers: dict[str, str], media_type: str
) -> Response:
    # The first piece is read before the answer begins: what fails here is still a proper problem document.
    first = await services.on_files(next, pieces, b"")

    async def body() -> AsyncIterator[bytes]:
        yield first
        while piece := await services.on_files(next, pieces, b""):
            yield piece

    headers["Content-Length"] = str(size)
    return StreamingResponse(body(), status, headers, media_type=media_type)
