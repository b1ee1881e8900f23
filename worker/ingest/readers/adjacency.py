"""Adjacency lists, "user item item ...": one line a user, blanks between (LightGCN, S3-Rec)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from worker.ingest.columns import Column
from worker.ingest.detected import Detected
from worker.ingest.limits import Meter
from worker.contract.errors import JobError

_BLOCK_BYTES = 4 << 20
_LINE_BYTES = 64 << 20


def read(detected: Detected, roles: Mapping[str, Column], meter: Meter) -> Iterator[pa.RecordBatch]:
    """Batches user, item in the order of the lines; a user without items gives no row."""
    rest = b""
    with detected.source.open(meter) as stream:
        while chunk := stream.read(_BLOCK_BYTES):
            block = rest + chunk
            cut = block.rfind(b"\n") + 1
            rest = block[cut:]
            if len(rest) > _LINE_BYTES:
                raise JobError("decoded_too_large", f"A line of {detected.source.name} is above {_LINE_BYTES:,} bytes.")
            if cut:
                yield from _pairs(block[:cut], detected)
        yield from _pairs(rest, detected)


def _pairs(block: bytes, detected: Detected) -> Iterator[pa.RecordBatch]:
    try:
        text = block.decode(detected.encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as invalid:
        raise JobError("invalid_input", f"{detected.source.name} is not {detected.encoding} text.") from invalid
    lines = pc.utf8_trim_whitespace(pa.array(text.split("\n"), pa.string()))
    lines = lines.filter(pc.not_equal(lines, ""))
    if not len(lines):
        return
    tokens = pc.utf8_split_whitespace(lines)
    users = pc.list_element(tokens, 0)
    parents, flat = pc.list_parent_indices(tokens), pc.list_flatten(tokens)
    starts = pc.cast(tokens.offsets.slice(0, len(tokens)), pa.int64())
    is_item = pc.invert(pc.is_in(pa.array(range(len(flat)), pa.int64()), starts))
    yield pa.RecordBatch.from_arrays(
        [users.take(parents.filter(is_item)), flat.filter(is_item)], names=["user", "item"]
    )
