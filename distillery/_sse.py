"""Server-sent events: the text/event-stream format of the HTML standard, section 9.2, fed piece by piece."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerEvent:
    """One event. `id`: the last id the stream has given, also when this event gave none itself."""

    type: str
    data: str
    id: str


class EventParser:
    """Turns bytes, cut anywhere, into events. `retry_s`: the pause before reconnecting the server asked
    for."""

    def __init__(self) -> None:
        self.retry_s: float | None = None
        self.last_id = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._skip_newline = False
        self._type = ""
        self._data: list[str] = []
        self._first = True

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """The events that this chunk completes."""
        text = self._decode(chunk)
        if self._first and text:
            text, self._first = text.removeprefix("\ufeff"), False
        for line in self._lines(text):
            event = self._line(line)
            if event is not None:
                yield event

    def _lines(self, text: str) -> Iterator[str]:
        # Lines end with CRLF, LF or CR; a CR at the end of one chunk may have its LF in the next.
        if self._skip_newline and text:
            text, self._skip_newline = text.removeprefix("\n"), False
        text = self._rest + text
        start = 0
        for at, char in enumerate(text):
            if at < start or char not in "\r\n":
                continue
            yield text[start:at]
            start = at + 1
            if char == "\r":
                if start == len(text):
                    self._skip_newline = True
                elif text[start] == "\n":
                    start += 1
        self._rest = text[start:]

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        if line.startswith(":"):
            return None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_s = int(value) / 1000
        return None

    def _dispatch(self) -> ServerEvent | None:
        data, kind = self._data, self._type
        self._data, self._type = [], ""
        if not data and not kind:
            return None
        return ServerEvent(kind or "message", "\n".join(data), self.last_id)
