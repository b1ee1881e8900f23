"""RecBole atomic files (.inter, .item, .user): tab-separated, a header of `name:type`, no quoting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from worker.ingest.columns import Column
from worker.ingest.detected import Detected
from worker.ingest.limits import Meter
from worker.ingest.readers import delimited


def read(detected: Detected, roles: Mapping[str, Column], meter: Meter) -> Iterator[pa.RecordBatch]:
    """Batches of the chosen columns, named by role; a quotation mark in a token is a character like any other."""
    return delimited.read(detected, roles, meter)
