"""Digest fields of HTTP (RFC 9530), SHA-256 only."""

from __future__ import annotations

import base64
import binascii
import re

from app.api.problems import Problem

_SHA256 = re.compile(r"(?:^|,)\s*sha-256\s*=\s*:([A-Za-z0-9+/=]*):\s*(?:;[^,]*)?(?=,|$)")


def digest_field(sha256: str) -> str:
    """`sha-256=:<base64>:` of a hash given in hex."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def sha256_of_field(field: str) -> str | None:
    """The SHA-256 in hex that a Content-Digest field names; None when it names other algorithms only."""
    found = _SHA256.search(field)
    if found is None:
        if "sha-256=" in field.replace(" ", ""):
            raise _malformed()
        return None
    try:
        raw = base64.b64decode(found[1], validate=True)
    except binascii.Error:
        raise _malformed() from None
    if len(raw) != 32:
        raise _malformed()
    return raw.hex()


def _malformed() -> Problem:
    return Problem(
        "malformed_request",
        "Content-Digest is not well-formed.",
        hint="Send `Content-Digest: sha-256=:<base64 of the 32 bytes>:`.",
    )
