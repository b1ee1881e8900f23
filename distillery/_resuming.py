"""Uploading a large file so that it arrives whole: in pieces, and from where it broke after any interruption
(tus 1.0.0)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from distillery import errors
from distillery._effects import Operation, Pause, Request
from distillery._requests import call, fresh_key

PIECE_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
_BROKEN_IN_A_ROW = 8  # about a minute: long enough for a service that restarts
_SLOWEST_HASH = 50e6  # bytes a second: the last piece is answered when the service has hashed the whole file
_VERSION = {"Tus-Resumable": "1.0.0"}


@dataclass(frozen=True)
class Sent:
    """A file on its way: where it lies, what it will be, and who is told how many of its bytes have been sent."""

    path: Path
    dataset: str
    name: str
    size: int
    sha256: str
    tell: Callable[[int], object] | None = None


def send_resumably(file: Sent) -> Operation[None]:
    """Send a file with PATCH requests, each from the byte up to which the service has it.

    Broken connections and a service that is away are waited out as long as there is progress. Raises the
    `TransportError` or `APIError` of the last of eight tries in a row without any.
    """
    path = yield from _begin(file)
    offset = reached = broken = 0
    while True:
        try:
            if broken:
                yield Pause(_pause_s(broken))
                offset = yield from _ask(path)
            if offset < file.size:
                offset = yield from _send_piece(path, file, offset)
        except (errors.TransportError, errors.APIError) as error:
            broken = 1 if offset > reached else broken + 1
            reached = max(reached, offset)
            if broken > _BROKEN_IN_A_ROW or not _passes(error):
                raise
            continue
        broken = 0
        if offset >= file.size:
            return


def _begin(file: Sent) -> Operation[str]:
    described = {"dataset": file.dataset, "path": file.name, "sha256": file.sha256}
    pairs = (f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in described.items())
    headers = {
        **_VERSION,
        "Upload-Length": str(file.size),
        "Upload-Metadata": ",".join(pairs),
        "Idempotency-Key": fresh_key(),
    }
    reply = yield from call(Request("POST", "/v1/uploads", headers=headers))
    # Its last part alone: the service may be reached at another path than it knows of.
    return f"/v1/uploads/{reply.headers['location'].rpartition('/')[2]}"


def _send_piece(path: str, file: Sent, offset: int) -> Operation[int]:
    size = min(PIECE_BYTES, file.size - offset)

    def body() -> Iterator[bytes]:
        sent = offset
        with file.path.open("rb") as content:
            content.seek(offset)
            while sent < offset + size and (chunk := content.read(min(_CHUNK_BYTES, offset + size - sent))):
                yield chunk
                sent += len(chunk)
                if file.tell is not None:
                    file.tell(sent)

    headers = {
        **_VERSION,
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str(size),
    }
    request = Request("PATCH", path, headers=headers, body=body, timeout_s=60.0 + file.size / _SLOWEST_HASH)
    reply = yield from call(request, tries=1)
    return _offset(reply.headers)


def _ask(path: str) -> Operation[int]:
    """How far the service has the file; its last byte known means that the file is made."""
    reply = yield from call(Request("HEAD", path, headers=_VERSION))
    return _offset(reply.headers)


def _pause_s(broken: int) -> float:
    return min(8.0, 0.25 * 2**broken)


def _offset(headers: Mapping[str, str]) -> int:
    text = headers.get("upload-offset", "")
    if not text.isdigit():
        raise errors.ConnectionLost("The answer does not say how far the upload is.")
    return int(text)


def _passes(error: Exception) -> bool:
    """Whether asking how far the upload is and going on there may help."""
    if isinstance(error, errors.APIError):
        # 409: the offset is another than we thought; 423: our own broken connection still holds the upload.
        return error.status in (408, 409, 423, 429, 502, 503, 504) and error.code != "duplicate_file"
    return True
