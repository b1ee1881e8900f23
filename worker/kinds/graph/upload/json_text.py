"""A JSON file as Python values, within limits: it is held whole, so it may not be large."""

from __future__ import annotations

import json
from typing import Any

from worker.contract.errors import JobError
from worker.ingest.limits import Meter
from worker.ingest.sources import Source

MOST_BYTES = 400_000_000


def parsed(source: Source, meter: Meter) -> Any:
    """The values of a JSON file. Raises `JobError` for what is none, too large or nested too deep."""
    pieces: list[bytes] = []
    size = 0
    with source.open(meter) as stream:
        while piece := stream.read(1 << 20):
            pieces.append(piece)
            size += len(piece)
            meter.tick()
            if size > MOST_BYTES:
                raise JobError(
                    "decoded_too_large",
                    f"{source.name} is JSON of more than {MOST_BYTES:,} bytes, which is held whole.",
                    hint="Upload an npz archive, or nodes and edges as Parquet.",
                    pointer="/files",
                )
    try:
        return json.loads(b"".join(pieces).decode("utf-8-sig"))
    except (ValueError, RecursionError) as broken:
        raise JobError(
            "invalid_input",
            f"{source.name} is no JSON: {str(broken)[:200]}.",
            hint="Save it with `json.dump`, in UTF-8.",
            pointer="/files",
        ) from broken
