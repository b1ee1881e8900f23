"""Text that others wrote, for a terminal: what would steer it is shown instead of obeyed."""

from __future__ import annotations

import re

# C0 and C1 controls but tab and line end, delete, and the marks that turn the direction of writing round.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """The text with control characters written out, such as `\\x1b` for the one that begins terminal commands."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def plain_json(document: str) -> str:
    """The same of a JSON document, which means the same afterwards."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", document)
