"""JSON lines of documents, of which a few may be broken: crawled corpora have such lines, and they are left out.

More than 1 % of them are refused, with their numbers. A file that is one list of objects is read as for other kinds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.json

from worker.ingest import native
from worker.ingest.arrow import Arrow
from worker.ingest.columns import Wanted
from worker.ingest.format import Detected, Format
from worker.ingest.formats import jsonl
from worker.ingest.limits import Meter
from worker.ingest.sample import Sample
from worker.ingest.typed import at
from worker.kinds.text.unreadable import Unreadable

_CHUNK = 1 << 20


def recognise(sample: Sample) -> bool:
    """Whether the file begins as an object does."""
    return sample.first == "{"


def describe(sample: Sample, meter: Meter) -> Detected:
    """The columns of the first lines that can be read; of a file of none, the refusal of the first line."""
    lines = sample.head.removeprefix(b"\xef\xbb\xbf").splitlines()
    if not sample.whole:
        lines.pop()  # cut off
    if not lines:
        lines = _first_lines(sample, meter)
    readable = [line for line in lines if _is_object(line)]
    if readable:
        sample = Sample(sample.source, b"\n".join(readable), sample.whole, sample.hints, sample.names)
    return replace(jsonl.describe(sample, meter), format=JSON_DOCUMENTS)


def _first_lines(sample: Sample, meter: Meter) -> list[bytes]:
    """The first lines of a file whose first one is longer than a sample."""
    with sample.source.open(Meter(meter.limits)) as stream:
        return native.Lines(stream, sample.source.name).read(_CHUNK).splitlines()


def read(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    """As `worker.ingest.formats.jsonl` reads it, without lines that are no object of these types in UTF-8."""
    paths, _, schema = jsonl.wanted_schema(detected, wanted)
    lost = Unreadable(detected.source.name, "lines", "a JSON object with the same types as the others, in UTF-8")
    with detected.source.open(meter) as stream:
        lines = native.Lines(stream, detected.source.name)
        while chunk := lines.read(_CHUNK):
            if not lost.total:
                chunk = chunk.removeprefix(b"\xef\xbb\xbf")
            for table in _tables(chunk, schema, lost):
                for batch in table.to_batches():
                    columns = [at(batch, path) for path in paths]
                    yield pa.RecordBatch.from_arrays(columns, names=[one.name for one in wanted])
    lost.tell(meter)


def _tables(chunk: bytes, schema: Arrow, lost: Unreadable) -> Iterator[Arrow]:
    """The objects of whole lines as one table; line by line where that fails."""
    lines = chunk.count(b"\n") + (not chunk.endswith(b"\n"))
    try:
        chunk.decode()
        if chunk.strip():
            yield _parsed(chunk, schema)
        lost.count(lines)
    except (pa.ArrowInvalid, UnicodeDecodeError, pa.ArrowNotImplementedError):
        good: list[bytes] = []
        for line in chunk.splitlines():
            fine = not line.strip() or _fits(line, schema)
            lost.count(1, lost=not fine)
            if fine and line.strip():
                good.append(line)
        if good:
            yield _parsed(b"\n".join(good), schema)


def _parsed(lines: bytes, schema: Arrow) -> Arrow:
    return pyarrow.json.read_json(
        pa.BufferReader(lines),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        parse_options=pyarrow.json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="ignore", newlines_in_values=False
        ),
    )


def _fits(line: bytes, schema: Arrow) -> bool:
    if not _is_object(line):
        return False
    try:
        return len(_parsed(line, schema)) == 1
    except pa.ArrowInvalid:
        return False


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.decode()), dict)
    except (ValueError, RecursionError):
        return False


JSON_DOCUMENTS = Format("jsonl", recognise, describe, read)
