"""Decoded text as a file that Arrow reads without Python.

Arrow reads ahead in threads of its own. Given a Python stream, such a thread may want the interpreter after a
refusal, while the process ends, and takes it down. So Arrow gets files only: the upload itself when it is plain UTF-8,
else a temporary file into which it was decoded under the budgets.
"""

from __future__ import annotations

import codecs
import re
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from worker.contract.errors import JobError
from worker.ingest.limits import Meter
from worker.ingest.sources import Source

BLOCK_BYTES = 4 << 20  # Arrow parses blocks of this size, and a row must fit into one
SEPARATOR = b"\x1f"  # ASCII's own unit separator stands in for "::" and blanks, which Arrow cannot split on
_CHUNK = 1 << 20


class Readable(Protocol):
    """What is asked of a stream here."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, b"" at the end."""
        ...


class Lines:
    """A stream of whole lines of bounded length in UTF-8; a delimiter of blanks or "::" becomes one byte."""

    def __init__(self, stream: Readable, name: str, delimiter: str = "", encoding: str = "utf-8") -> None:
        self._stream, self._name, self._delimiter, self._rest, self._read = stream, name, delimiter, b"", 0
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()

    def read(self, size: int = -1, /) -> bytes:
        """The next lines, about `size` bytes; b"" at the end."""
        while True:
            chunk = self._stream.read(size)
            ended = not chunk
            if self._decoder is not None:
                chunk = self._decoder.decode(chunk, final=ended).encode()
            block = self._rest + chunk
            cut = len(block) if ended else block.rfind(b"\n") + 1
            first = block.find(b"\n")
            if (len(block) if first < 0 else first) > BLOCK_BYTES:
                raise too_long(self._name, self._read + 1)
            self._rest = block[cut:]
            if cut or ended:
                self._read += block.count(b"\n", 0, cut)
                return self._translate(block[:cut])

    def _translate(self, lines: bytes) -> bytes:
        if self._delimiter == "::":
            return lines.replace(b"::", SEPARATOR)
        if self._delimiter == " ":
            trimmed = re.sub(rb"(?m)^[ \t]+|[ \t]+(?=\r?$)", b"", lines)
            return re.sub(rb"[ \t]+", SEPARATOR, trimmed)
        return lines


def too_long(name: str, line: int = 0) -> JobError:
    """The refusal of a row that no block can hold; `line`: where it begins, from 1, 0 where that is not known."""
    return JobError(
        "decoded_too_large",
        f"{f'Line {line:,}' if line else 'A row'} of {name} is longer than {BLOCK_BYTES:,} bytes.",
        hint="Look for a quote that is opened and never closed, or leave long texts out.",
    )


@contextmanager
def native(
    source: Source,
    meter: Meter,
    *,
    delimiter: str = "",
    encoding: str = "utf-8",
    as_lines: Callable[[Readable, str], Readable] | None = None,
) -> Generator[Any]:
    """The decoded lines of a file, counted, in UTF-8, for Arrow; packed or translated ones in a temporary file.
    `as_lines` makes lines of what has none.
    """
    plain = encoding == "utf-8" and delimiter not in {"::", " "} and as_lines is None
    if not source.compression and plain:
        meter.decoded(source.packed_bytes, source.name)
        with pa.OSFile(str(source.path)) as file:
            yield file
        return
    with tempfile.NamedTemporaryFile(prefix="ingest-") as spool:
        with source.open(meter) as stream:
            lines = as_lines(stream, source.name) if as_lines else Lines(stream, source.name, delimiter, encoding)
            while chunk := lines.read(_CHUNK):
                spool.write(chunk)
                meter.tick()
        spool.flush()
        with pa.OSFile(spool.name) as file:
            yield file


def unpaired(file: Readable, mark: bytes, skip: int) -> int:
    """The first line, from 1, after the first `skip` ones that holds an odd number of this byte; 0: there is none."""
    done = carried = 0  # whole lines before this block, and marks in the line that it continues
    while block := file.read(BLOCK_BYTES):
        data = np.frombuffer(block, np.uint8)
        if mark not in block and not carried % 2:
            done += block.count(b"\n")
            carried = 0
            continue
        ends = np.flatnonzero(data == ord("\n"))
        counts = np.bincount(np.searchsorted(ends, np.flatnonzero(data == ord(mark))), minlength=len(ends) + 1)
        counts[0] += carried
        odd = np.flatnonzero(counts[:-1] % 2) + done
        odd = odd[odd >= skip]
        if len(odd):
            return int(odd[0]) + 1
        done, carried = done + len(ends), int(counts[-1])
    return done + 1 if carried % 2 and done >= skip else 0


def advance(meter: Meter, source: Source, before: float, file: Any) -> None:
    """Note how far Arrow has come in a file at whose start `meter.packed_done` was `before`."""
    position = source.packed_bytes if file.closed else file.tell()
    meter.packed_done = max(meter.packed_done, before + min(position, source.packed_bytes))
