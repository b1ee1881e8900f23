"""CSV, TSV, MovieLens "::" files and blank-separated lines, with a header or without."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import IO

import pyarrow as pa
import pyarrow.csv

from worker.ingest.canonical import canonical
from worker.ingest.columns import Column, number
from worker.ingest.detect import Detected
from worker.ingest.limits import Meter
from worker.runtime.errors import JobError

BLOCK_BYTES = 4 << 20  # a row must fit into one block
_SEPARATOR = b"\x1f"  # ASCII's own unit separator stands in for "::", which Arrow cannot split on
_EXACT_FLOAT = 1 << 53


class Lines:
    """A stream of whole lines of bounded length; a delimiter of blanks or "::" is replaced by one byte."""

    closed = False

    def __init__(self, stream: IO[bytes], name: str, delimiter: str = "") -> None:
        self._stream, self._name, self._delimiter, self._rest = stream, name, delimiter, b""

    def read(self, size: int = -1) -> bytes:
        """The next lines, about `size` bytes; b"" at the end."""
        while True:
            chunk = self._stream.read(size)
            block = self._rest + chunk
            cut = block.rfind(b"\n") + 1 if chunk else len(block)
            first = block.find(b"\n")
            if (len(block) if first < 0 else first) > BLOCK_BYTES:
                raise too_long(self._name)
            self._rest = block[cut:]
            if cut or not chunk:
                return self._translate(block[:cut])

    def _translate(self, lines: bytes) -> bytes:
        if not self._delimiter:
            return lines
        if self._delimiter == "::":
            return lines.replace(b"::", _SEPARATOR)
        trimmed = re.sub(rb"(?m)^[ \t]+|[ \t]+(?=\r?$)", b"", lines)
        return re.sub(rb"[ \t]+", _SEPARATOR, trimmed)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Close the stream below."""
        self._stream.close()
        self.closed = True


def read(detected: Detected, roles: Mapping[str, Column], meter: Meter) -> Iterator[pa.RecordBatch]:
    """Batches of the chosen columns, named by role: ids as text, ratings and times as float64 (dates as text).

    Raises `JobError` with the row number for ragged rows and cells of the wrong type.
    """
    try:
        yield from _batches(detected, roles, meter)
    except (pa.ArrowInvalid, UnicodeDecodeError) as invalid:
        raise _explained(detected, roles, meter, str(invalid)) from invalid


def _batches(
    detected: Detected, roles: Mapping[str, Column], meter: Meter, *, diagnose: bool = False
) -> Iterator[pa.RecordBatch]:
    """With `diagnose`, one thread (then Arrow says row numbers) and every cell as text."""
    with detected.source.open(meter) as stream:
        translated = detected.delimiter in {"::", " "}
        unquoted = translated or detected.format == "recbole"
        reader = pyarrow.csv.open_csv(
            Lines(stream, detected.source.name, detected.delimiter) if translated else stream,
            read_options=pyarrow.csv.ReadOptions(
                block_size=BLOCK_BYTES,
                column_names=[str(column.index) for column in detected.columns],
                skip_rows=detected.layout.get("skip", int(detected.header)),
                encoding="utf8" if detected.encoding == "utf-8" else detected.encoding,
                use_threads=not diagnose,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=_SEPARATOR.decode() if translated else detected.delimiter,
                quote_char=False if unquoted else '"',
                newlines_in_values=not unquoted,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=[str(column.index) for column in roles.values()],
                column_types={
                    str(column.index): pa.string() if diagnose else _type(role, column)
                    for role, column in roles.items()
                },
                strings_can_be_null=False,
            ),
        )
        for batch in reader:
            yield batch.rename_columns(list(roles))


def _type(role: str, column: Column) -> pa.DataType:
    if role == "rating":
        return pa.float64()
    if role == "timestamp" and column.type in {"integer", "number"}:
        large = any(abs(number(example)) > _EXACT_FLOAT for example in column.examples)
        # float64 also takes the odd "881250949.0"; nanoseconds need all 64 bits
        return pa.int64() if large else pa.float64()
    return pa.string()


def _explained(detected: Detected, roles: Mapping[str, Column], meter: Meter, said: str) -> JobError:
    """Read again from the start, slowly, to say which row is at fault."""
    name = detected.source.name
    if "straddling" in said:
        return too_long(name)
    rows = 0
    try:
        for batch in _batches(detected, roles, Meter(meter.limits), diagnose=True):
            canonical(batch, Meter(meter.limits), rows, name)
            rows += batch.num_rows
    except JobError as located:
        return located
    except (pa.ArrowInvalid, UnicodeDecodeError) as invalid:
        said = str(invalid)
    if "UTF8" in said or "codec can't decode" in said:
        return JobError(
            "invalid_input",
            f"{name} is not {detected.encoding} text after row {rows:,}.",
            hint='Say the encoding, as in encoding="latin-1".',
            pointer="/options/encoding",
        )
    if "Empty CSV" in said:
        return JobError("invalid_input", f"{name} holds no rows.", hint="Upload a table with at least one row.")
    ragged = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", said)
    if ragged:
        row = int(ragged[1]) - int(detected.header)
        return JobError(
            "invalid_input",
            f"Row {row:,} of {name} has {int(ragged[3])} columns, not {int(ragged[2])} like the others.",
            hint="Correct the row, or put quotes around cells that hold the delimiter.",
            pointer="/options/delimiter",
        )
    return JobError("invalid_input", f"{name} cannot be read as a table: {said[:200]}.")


def too_long(name: str) -> JobError:
    """The refusal of a row that no block can hold."""
    return JobError(
        "decoded_too_large",
        f"A row of {name} is longer than {BLOCK_BYTES:,} bytes.",
        hint="Look for a quote that is opened and never closed, or leave long texts out.",
    )
