"""Text from strangers in what JSON and Postgres hold."""

from __future__ import annotations


def storable(text: str) -> str:
    """The same with U+FFFD for NUL and for halves of characters (lone surrogates), which neither of them takes."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\0", "\ufffd")
