"""Identifiers: a prefix that names the thing, then a UUIDv7 in lower-case base32, so that they sort by time."""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford: no i, l, o, u


def new_id(prefix: str) -> str:
    """A fresh identifier such as `job_06dc1…`; 48 bits of milliseconds, 74 random bits (RFC 9562, version 7)."""
    value = (time.time_ns() // 1_000_000) << 80
    value |= 0x7 << 76 | secrets.randbits(12) << 64
    value |= 0b10 << 62 | secrets.randbits(62)
    return f"{prefix}_{_base32(value)}"


def _base32(value: int) -> str:
    digits: list[str] = []
    for _ in range(26):
        digits.append(_ALPHABET[value & 31])
        value >>= 5
    return "".join(reversed(digits))
