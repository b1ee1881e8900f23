"""RecBole atomic files (.inter, .item, .user): tab-separated, a header of `name:type`, no quoting."""

from __future__ import annotations

import re

from worker.ingest.format import Detected, Format
from worker.ingest.formats import delimited
from worker.ingest.limits import Meter
from worker.ingest.sample import Sample
from worker.ingest.table_shape import columns_of

_TYPED = re.compile(r"^\ufeff?[\w.]+:(token|token_seq|float|float_seq)(\t|$)")
_TYPES = {"token": "text", "float": "number"}


def recognise(sample: Sample) -> bool:
    """Whether the header says types."""
    return bool(_TYPED.match(sample.text))


def describe(sample: Sample, meter: Meter) -> Detected:
    """The columns by name and type of the header; sequences are nested. A quotation mark in a token is a character."""
    names = sample.lines[0].split("\t")
    columns = columns_of([line.split("\t") for line in sample.lines], header=True)
    for column, name in zip(columns, names, strict=True):
        column.name, _, kind = name.strip().partition(":")
        column.type = _TYPES.get(kind, "nested")
    layout = {"skip": 1, "quote": "", "multiline": False, "checked": True}
    return Detected(sample.source, RECBOLE, columns, sample.encoding, "\t", layout=layout)


RECBOLE = Format("recbole", recognise, describe, delimited.read)
