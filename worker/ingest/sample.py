"""The beginning of an uploaded file, from which its format is guessed, and what its user says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from worker.ingest.sources import Source

_CONTROL = bytes(set(range(32)) - {1, 9, 10, 11, 12, 13, 31})  # 1 is what Hive puts between cells
_LINES = 200
_SEVERAL = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_END = re.compile(r"\r\n?|\n")


def lines_of(text: str) -> list[str]:
    """The lines of a text, without their ends. `str.splitlines` would also end one at U+2028, U+0085 or a form feed,
    which stand inside cells and which no reader of a format takes for an end."""
    lines = _END.split(text)
    return lines if lines[-1] else lines[:-1]


@dataclass(frozen=True)
class Hints:
    """What the user says of a file; blank or None: to be guessed. `quote`: "" where quotation marks are characters;
    `decimal`: the character before the fraction of a number.
    """

    format: str = "auto"
    delimiter: str = ""
    encoding: str = ""
    header: bool | None = None
    quote: str | None = None
    decimal: str = ""


NO_HINTS = Hints()


@dataclass
class Sample:
    """The first bytes of a file. `whole`: they are all of it; `names`: known names of columns, which show a header."""

    source: Source
    head: bytes
    whole: bool
    hints: Hints = NO_HINTS
    names: frozenset[str] = frozenset()

    @cached_property
    def encoding(self) -> str:
        """The encoding of the text, said or guessed."""
        return self.hints.encoding or guess_encoding(self.head, self.whole)

    @cached_property
    def binary(self) -> bool:
        """Whether this is no text."""
        if self.encoding.startswith("utf-16"):
            return False
        controls = len(self.head) - len(self.head.translate(None, _CONTROL))
        return b"\x00" in self.head or controls > len(self.head) // 100

    @cached_property
    def stray(self) -> tuple[str, int] | None:
        """What makes a binary file of one that is UTF-8 text else, and the line where it first stands."""
        found = re.search(b"[" + re.escape(_CONTROL) + b"]", self.head)
        controls = len(self.head) - len(self.head.translate(None, _CONTROL))
        if found is None or 10 * controls > len(self.head) or guess_encoding(self.head, self.whole) != "utf-8":
            return None
        what = "NUL characters" if found[0] == b"\0" else f"control characters such as {chr(found[0][0])!r}"
        return what, self.head.count(b"\n", 0, found.start()) + 1

    @cached_property
    def text(self) -> str:
        """The whole lines of a text, "" of a binary file."""
        if self.binary:
            return ""
        text = self.head.decode(self.encoding, errors="replace").removeprefix("\ufeff")
        if self.whole:
            return text
        cut = max(text.rfind("\n"), text.rfind("\r"))
        # a first line longer than the sample is judged by what there is of it
        return text[: cut + 1] if cut > 0 else text

    @cached_property
    def lines(self) -> list[str]:
        """The first lines that are not blank, 200 at most."""
        return [line for line in lines_of(self.text) if line.strip()][:_LINES]

    @property
    def first(self) -> str:
        """The first character that is no blank, or ""."""
        return self.text.lstrip("\ufeff \t\r\n")[:1]


def _is_damaged_utf8(data: bytes) -> bool:
    """Whether more of the bytes above ASCII are characters of UTF-8 than are not: a few wrong bytes do not make another
    encoding, in which all other letters would be wrong."""
    high = len(data) - len(data.translate(None, bytes(range(128, 256))))
    return 2 * sum(map(len, _SEVERAL.findall(data))) > high


def guess_encoding(head: bytes, whole: bool) -> str:
    """utf-8, utf-16 (by its mark, or by zeros in every other byte) or cp1252/latin-1, from a sample that may end inside
    a character.
    """
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    zeros = [head[place::2].count(0) * 5 > len(head[place::2]) * 2 for place in (0, 1)]
    if zeros == [False, True] and 0 not in head[::2]:
        return "utf-16-le"
    if zeros == [True, False] and 0 not in head[1::2]:
        return "utf-16-be"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if not whole and error.start >= len(head) - 3 and error.reason == "unexpected end of data":
            return "utf-8"
        if _is_damaged_utf8(head):
            return "utf-8"  # and who reads it says where it is none
        # 0x80-0x9f are letters and quotes in cp1252, control characters in latin-1
        return "cp1252" if re.search(rb"[\x80\x82-\x8c\x8e\x91-\x9c\x9e\x9f]", head) else "latin-1"
    return "utf-8"
