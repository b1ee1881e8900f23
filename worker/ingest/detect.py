"""A guess at what an uploaded file is, from its bytes; shown to the user, who may overrule any part of it."""

from __future__ import annotations

from collections.abc import Sequence

from worker.contract.errors import JobError
from worker.ingest.format import Detected, Format
from worker.ingest.limits import Meter
from worker.ingest.sample import Sample
from worker.ingest.unsafe import refuse_unsafe


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
    meter.columns(len(detected.columns), name)
    return detected


def _unrecognised(sample: Sample) -> JobError:
    name = sample.source.name
    if sample.binary:
        return JobError(
            "invalid_input",
            f"{name} is neither text nor a binary format that is read here.",
            hint="Upload CSV, TSV, JSON lines, RecBole .inter, Parquet or npz.",
        )
    if not sample.first:
        return JobError("invalid_input", f"{name} holds only blank lines.")
    return JobError(
        "invalid_input",
        f"{name} looks like text with a single column; a table needs a delimiter between columns.",
        hint="Separate the columns with commas or tabs, or say which delimiter it is.",
        pointer="/options/delimiter",
    )
