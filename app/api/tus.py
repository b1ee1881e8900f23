"""What the tus protocol says in headers (tus 1.0.0: core, creation, checksum, termination, expiration)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import format_datetime
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from app.api.problems import Problem, of_refused
from app.jobs.errors import Refused

VERSION = "1.0.0"
EXTENSIONS = "creation,checksum,termination,expiration"
ALGORITHMS = ("sha1", "sha256")  # the protocol demands SHA-1: it finds broken transfers, not attackers
MEDIA_TYPE = "application/offset+octet-stream"
_LONGEST_METADATA = 8_000
_LARGEST = 2**63


@dataclass(frozen=True)
class Checksum:
    """The digest of one request's body."""

    algorithm: str
    digest: bytes

    def hasher(self) -> Any:
        """A fresh hash object of the algorithm."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


class TusRoute(APIRoute):
    """A route whose every answer, refusals too, names the protocol's version."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler with the header added."""
        handler = super().get_route_handler()

        async def named(request: Request) -> Response:
            try:
                response = await handler(request)
            except (Problem, Refused) as refusal:
                problem = of_refused(refusal) if isinstance(refusal, Refused) else refusal
                problem.headers = {**(problem.headers or {}), "Tus-Resumable": VERSION}
                raise problem from None
            response.headers["Tus-Resumable"] = VERSION
            return response

        return named


def need_version(request: Request) -> None:
    """Refuse another version of the protocol than ours."""
    if request.headers.get("tus-resumable") != VERSION:
        raise Problem("tus_version", headers={"Tus-Version": VERSION})


def number_of(request: Request, header: str) -> int:
    """The non-negative integer that a header must carry."""
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < _LARGEST):
        raise Problem("malformed_request", f"{header} must be a number of bytes.")
    return int(text)


def metadata_of(request: Request) -> dict[str, str]:
    """Upload-Metadata: names and their values, which come in base64."""
    field = request.headers.get("upload-metadata", "")
    if len(field) > _LONGEST_METADATA:
        raise Problem("malformed_request", f"Upload-Metadata takes at most {_LONGEST_METADATA} characters.")
    found: dict[str, str] = {}
    for pair in filter(None, (pair.strip() for pair in field.split(","))):
        name, _, value = pair.partition(" ")
        try:
            text = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise Problem("malformed_request", f"Upload-Metadata: {name[:40]!r} is not UTF-8 in base64.") from None
        if name in found or "\0" in text:
            raise Problem("malformed_request", f"Upload-Metadata: {name[:40]!r} comes twice or contains a NUL.")
        found[name] = text
    return found


def checksum_of(request: Request) -> Checksum | None:
    """Upload-Checksum, when it was sent."""
    field = request.headers.get("upload-checksum")
    if field is None:
        return None
    algorithm, _, value = field.partition(" ")
    if algorithm not in ALGORITHMS:
        raise Problem("malformed_request", f"Upload-Checksum: known algorithms are {', '.join(ALGORITHMS)}.")
    try:
        digest = base64.b64decode(value.strip(), validate=True)
    except binascii.Error:
        digest = b""
    checksum = Checksum(algorithm, digest)
    if len(digest) != checksum.hasher().digest_size:
        raise Problem("malformed_request", "Upload-Checksum is not an algorithm and a digest in base64.")
    return checksum


def described(row: Mapping[str, Any], offset: int) -> dict[str, str]:
    """The headers that say how far an upload is."""
    return {
        "Upload-Offset": str(offset),
        "Upload-Length": str(row["length"]),
        "Upload-Expires": format_datetime(row["expires_at"].astimezone(UTC), usegmt=True),
        "Cache-Control": "no-store",
    }


def parameters(*names: str) -> dict[str, Any]:
    """`openapi_extra=` of a route that reads these headers beside the version."""
    known = {
        "Tus-Resumable": (True, "Version of the protocol.", {"type": "string", "enum": [VERSION]}),
        "Upload-Length": (True, "Bytes of the whole file.", {"type": "integer", "minimum": 0, "maximum": _LARGEST - 1}),
        "Upload-Metadata": (
            True,
            "`dataset` and `path` of the file, and `sha256` (hex) if it is to be checked; values in base64.",
            {"type": "string", "maxLength": _LONGEST_METADATA, "examples": ["dataset ZHNfeA==,path Y2xpY2tzLmNzdg=="]},
        ),
        "Upload-Offset": (
            True,
            "Where in the file this body belongs: as many bytes as have arrived.",
            {"type": "integer", "minimum": 0, "maximum": _LARGEST - 1},
        ),
        "Upload-Checksum": (
            False,
            "Digest of this body: `sha1` or `sha256`, a space, base64.",
            {"type": "string", "examples": ["sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk="]},
        ),
    }
    listed = [
        {"name": name, "in": "header", "required": required, "description": text, "schema": schema}
        for name, (required, text, schema) in known.items()
        if name in ("Tus-Resumable", *names)
    ]
    return {"parameters": listed}
