"""A guess at what an uploaded file is, from its bytes; shown to the user, who may overrule any part of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote

from worker.contract.errors import JobError
from worker.ingest.columns import Column
from worker.ingest.format import Detected, Format
from worker.ingest.limits import Meter
from worker.ingest.sample import Sample
from worker.ingest.table_shape import type_of
from worker.ingest.unsafe import refuse_unsafe

_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def detect(sample: Sample, formats: Sequence[Format], meter: Meter) -> Detected:
    """What a file is: the format that its user names if it can be that, else the first that recognises it.

    Raises `JobError`: `unsafe_format` for anything that can carry code, `unsupported` for formats not read,
    `invalid_input` for empty files and binary junk.
    """
    name = sample.source.name
    if not sample.head:
        raise JobError("invalid_input", f"{name} is empty.", hint="Upload a table with at least one row.")
    refuse_unsafe(name, sample.head, sample.whole)
    named_first = sorted(formats, key=lambda format: format.name != sample.hints.format)
    found = next((format for format in named_first if format.recognise(sample)), None)
    if found is None:
        raise _unrecognised(sample)
    detected = found.describe(sample, meter)
    if sample.hints.format not in {"auto", found.name}:
        raise JobError(
            "invalid_input",
            f"{name} is {found.name}, not {sample.hints.format}.",
            hint="Leave the format out, or upload another file.",
            pointer="/options/format",
        )
    detected.columns += _said_by_folders(detected)
    meter.columns(len(detected.columns), name)
    return detected


def _said_by_folders(detected: Detected) -> list[Column]:
    """Columns that folders say, as Hive and Spark write them: date=2024-01-01/part-0.parquet."""
    known = {column.name for column in detected.columns}
    columns: list[Column] = []
    for folder in PurePosixPath(detected.source.name.replace("\\", "/")).parts[:-1]:
        name, equals, value = folder.partition("=")
        if equals and name and name not in known:
            value = "" if value == _NO_PARTITION else unquote(value)
            columns.append(Column(name, len(known) + len(columns), type_of([value]), [value], constant=value))
    return columns


def _unrecognised(sample: Sample) -> JobError:
    name = sample.source.name
    if sample.binary and sample.stray is not None:
        what, line = sample.stray
        return JobError(
            "invalid_input",
            f"{name} looks like text, but holds {what}, first in line {line:,}.",
            hint="Remove them, as `tr -d '\\000-\\010\\016-\\037'` does, or write the file again as UTF-8.",
        )
    if sample.binary:
        return JobError(
            "invalid_input",
            f"{name} is neither text nor a binary format that is read here.",
            hint="Upload CSV, TSV, JSON lines, RecBole .inter, Parquet, Arrow, npz or HDF5.",
        )
    if not sample.first:
        return JobError(
            "invalid_input", f"{name} holds only blank lines.", hint="Upload a table with at least one row."
        )
    return JobError(
        "invalid_input",
        f"{name} looks like text with a single column; a table needs a delimiter between columns.",
        hint="Separate the columns with commas or tabs, or say which delimiter it is, as in delimiter=;",
        pointer="/options/delimiter",
    )
