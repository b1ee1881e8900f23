"""Adjacency lists, "user item item ...": one line a user, blanks between (LightGCN, S3-Rec)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow, pc
from worker.ingest.columns import Column, Wanted
from worker.ingest.format import Detected, Format
from worker.ingest.limits import Meter
from worker.ingest.sample import Sample

_BLOCK_BYTES = 4 << 20
_LINE_BYTES = 64 << 20


def recognise(sample: Sample) -> bool:
    """Whether every line is whole numbers, the first of them unlike in all lines, and lines are unlike in length (or
    long); or the user says so.
    """
    if sample.hints.format == "adjacency":
        return bool(sample.first)
    lines = sample.lines
    if sample.hints.delimiter or len(lines) < 2 or any(mark in "".join(lines) for mark in ",;|\t:"):
        return False
    rows = [line.split() for line in lines]
    if not all(token.isdigit() for row in rows for token in row):
        return False
    lengths = {len(row) for row in rows}
    one_line_a_user = len({row[0] for row in rows}) == len(rows)
    unlike = len(lengths) > 2 or (len(lengths) == 2 and max(lengths) > 4)
    return one_line_a_user and (unlike or min(lengths) > 4)


def describe(sample: Sample, meter: Meter) -> Detected:
    """Two columns: the first token of a line, and all others."""
    firsts = [line.split() for line in sample.lines[:3]]
    columns = [
        Column("user", 0, "text", [tokens[0] for tokens in firsts]),
        Column("items", 1, "text", [" ".join(tokens[1:6]) for tokens in firsts]),
    ]
    return Detected(sample.source, ADJACENCY, columns, sample.encoding, " ", header=False, pairs=2)


def read(detected: Detected, wanted: Sequence[Wanted], meter: Meter) -> Iterator[Arrow]:
    """A row a pair, in the order of the lines; a line of one token gives no row."""
    rest = b""
    with detected.source.open(meter) as stream:
        while chunk := stream.read(_BLOCK_BYTES):
            block = rest + chunk
            cut = block.rfind(b"\n") + 1
            rest = block[cut:]
            if len(rest) > _LINE_BYTES:
                raise JobError("decoded_too_large", f"A line of {detected.source.name} is above {_LINE_BYTES:,} bytes.")
            if cut:
                yield from _pairs(block[:cut], detected, wanted)
        yield from _pairs(rest, detected, wanted)


def _pairs(block: bytes, detected: Detected, wanted: Sequence[Wanted]) -> Iterator[Arrow]:
    try:
        text = block.decode(detected.encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as invalid:
        raise JobError("invalid_input", f"{detected.source.name} is not {detected.encoding} text.") from invalid
    lines = pc.utf8_trim_whitespace(pa.array(text.split("\n"), pa.string()))
    lines = lines.filter(pc.not_equal(lines, ""))
    if not len(lines):
        return
    tokens = pc.utf8_split_whitespace(lines)
    firsts = pc.list_element(tokens, 0)
    parents, flat = pc.list_parent_indices(tokens), pc.list_flatten(tokens)
    starts = pc.cast(tokens.offsets.slice(0, len(tokens)), pa.int64())
    others = pc.invert(pc.is_in(pa.array(range(len(flat)), pa.int64()), starts))
    columns = (firsts.take(parents.filter(others)), flat.filter(others))
    yield pa.RecordBatch.from_arrays([columns[one.column.index] for one in wanted], names=[one.name for one in wanted])


ADJACENCY = Format("adjacency", recognise, describe, read)
