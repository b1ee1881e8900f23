"""A JSON file that is one list of objects, as `df.to_json(path, orient="records")` writes it, as lines of objects."""

from __future__ import annotations

import codecs
import json
import re

from worker.contract.errors import JobError
from worker.ingest.native import BLOCK_BYTES, Readable, too_long

_CHUNK = 1 << 20
_BETWEEN = re.compile(r"[\s,]*")
_DECODER = json.JSONDecoder()


class ObjectLines:
    """A stream of one object a line in UTF-8 from a stream of a list; objects are of bounded length.

    Raises `JobError` for what is no list of objects; `partial`: the stream may end anywhere, as a sample does.
    """

    def __init__(self, stream: Readable, name: str, *, partial: bool = False) -> None:
        self._stream, self._name, self._partial = stream, name, partial
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._text, self._at, self._ended, self._began, self._count = "", 0, False, False, 0

    def read(self, size: int = -1, /) -> bytes:
        """The next objects, about `size` bytes; b"" at the end."""
        found: list[str] = []
        length = 0
        while length < (_CHUNK if size < 0 else size) and (one := self._next()):
            found.append(one + "\n")
            length += len(one)
        return "".join(found).encode()

    def _next(self) -> str:
        """The next object as a line, "" at the end of the list."""
        while True:
            start = self._after_blanks()
            if start < len(self._text) and self._text[start] == "]":
                return ""
            try:
                value, end = _DECODER.raw_decode(self._text, start)
            except (ValueError, RecursionError) as invalid:
                if not self._more():
                    return self._broken(str(invalid))
                continue
            if not isinstance(value, dict):
                return self._broken("it is not an object")
            self._at, self._count = end, self._count + 1
            return self._text[start:end].replace("\r", " ").replace("\n", " ")

    def _after_blanks(self) -> int:
        while True:
            found = _BETWEEN.match(self._text, self._at)
            start = found.end() if found else self._at
            if start < len(self._text) or not self._more():
                break
        if not self._began and self._text[start : start + 1] == "[":
            self._began, self._at = True, start + 1
            return self._after_blanks()
        return start

    def _more(self) -> bool:
        """Read on; False at the end of the stream."""
        if self._ended:
            return False
        if len(self._text) - self._at > BLOCK_BYTES:
            raise too_long(self._name)
        chunk = self._stream.read(_CHUNK)
        self._ended = not chunk
        self._text, self._at = self._text[self._at :] + self._decode(chunk, final=self._ended and not self._partial), 0
        return not self._ended

    def _broken(self, why: str) -> str:
        if self._partial:
            return ""
        raise JobError(
            "invalid_input",
            f"Object {self._count + 1:,} of the list in {self._name} cannot be read: {why}.",
            hint="Write one JSON object a line, as `df.to_json(path, orient='records', lines=True)` does.",
        )
