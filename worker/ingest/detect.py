"""A guess at what an uploaded file is, from its bytes; shown to the user, who may overrule any part of it."""

from __future__ import annotations

import re

from worker.ingest import table_shape
from worker.ingest.detected import Detected
from worker.ingest.limits import Meter
from worker.ingest.options import ReadOptions
from worker.ingest.sources import ZIP, Source
from worker.ingest.unsafe import refuse_unsafe
from worker.contract.errors import JobError

_TYPED = re.compile(r"^\ufeff?[\w.]+:(token|token_seq|float|float_seq)(\t|$)")
_CONTROL = bytes(set(range(32)) - {9, 10, 11, 12, 13, 31})


def detect(source: Source, options: ReadOptions, meter: Meter) -> Detected:
    """Guess format, encoding, delimiter, header and columns of one file.

    Raises `JobError`: `unsafe_format` for anything that can carry code, `unsupported` for formats not read,
    `invalid_input` for empty files and binary junk.
    """
    head, whole = source.head(meter)
    if not head:
        raise JobError("invalid_input", f"{source.name} is empty.", hint="Upload a table with at least one row.")
    refuse_unsafe(source.name, head, whole)
    detected = _by_content(source, head, whole, options, meter)
    if options.format not in {"auto", detected.format}:
        raise JobError(
            "invalid_input",
            f"{source.name} is {detected.format}, not {options.format}.",
            hint="Leave the format out, or upload another file.",
            pointer="/options/format",
        )
    meter.columns(len(detected.columns), source.name)
    return detected


def _by_content(source: Source, head: bytes, whole: bool, options: ReadOptions, meter: Meter) -> Detected:
    if head.startswith(b"PAR1"):
        from worker.ingest.readers import parquet

        detected = Detected(source, "parquet")
        detected.columns = parquet.columns(source, meter)
        return detected
    if head.startswith(ZIP):
        from worker.ingest.readers import npz

        detected = Detected(source, "npz")
        detected.columns, detected.layout = npz.describe(source, meter)
        return detected
    encoding = options.encoding or guess_encoding(head, whole)
    text = _decode(source, head, whole, encoding)
    first = text.lstrip("\ufeff \t\r\n")[:1]
    if not first:
        raise JobError("invalid_input", f"{source.name} holds only blank lines.")
    if options.format in {"auto", "jsonl"} and first in "{[":
        return _jsonl(source, text, encoding)
    if options.format in {"auto", "recbole"} and _TYPED.match(text):
        columns = table_shape.typed_columns(text)
        return Detected(source, "recbole", encoding, "\t", True, columns, {"skip": 1})
    return _table(source, text, encoding, options)


def guess_encoding(head: bytes, whole: bool) -> str:
    """utf-8, utf-16 (by its mark) or cp1252/latin-1, from a sample that may end inside a character."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if not whole and error.start >= len(head) - 3 and error.reason == "unexpected end of data":
            return "utf-8"
        # 0x80-0x9f are letters and quotes in cp1252, control characters in latin-1
        return "cp1252" if re.search(rb"[\x80\x82-\x8c\x8e\x91-\x9c\x9e\x9f]", head) else "latin-1"
    return "utf-8"


def _decode(source: Source, head: bytes, whole: bool, encoding: str) -> str:
    if encoding != "utf-16":
        controls = len(head) - len(head.translate(None, _CONTROL))
        if b"\x00" in head or controls > len(head) // 100:
            raise JobError(
                "invalid_input",
                f"{source.name} is neither text nor a binary format that is read here.",
                hint="Upload CSV, TSV, JSON lines, RecBole .inter, Parquet or npz.",
            )
    text = head.decode(encoding, errors="replace").removeprefix("\ufeff")
    if whole:
        return text
    cut = max(text.rfind("\n"), text.rfind("\r"))
    # a first line longer than the sample is judged by what there is of it
    return text[: cut + 1] if cut > 0 else text


def _jsonl(source: Source, text: str, encoding: str) -> Detected:
    from worker.ingest.readers import jsonl

    if encoding != "utf-8":
        raise JobError("invalid_input", f"{source.name} is JSON but not in UTF-8.", hint="Save it as UTF-8.")
    return Detected(source, "jsonl", encoding, "", True, jsonl.columns(source, text))


def _table(source: Source, text: str, encoding: str, options: ReadOptions) -> Detected:
    # who names columns says that there is a header
    named = any(isinstance(name, str) and name and not name.isdigit() for name in options.columns.values())
    shape = table_shape.guess(
        text,
        delimiter=options.delimiter,
        header=True if options.header is None and named else options.header,
        adjacency=options.format == "adjacency" or None,
    )
    if shape is None:
        raise JobError(
            "invalid_input",
            f"{source.name} looks like text with a single column; a table needs a delimiter between columns.",
            hint="Separate the columns with commas or tabs, or say which delimiter it is.",
            pointer="/options/delimiter",
        )
    kind = "adjacency" if shape.adjacency else "delimited"
    blank = text[: len(text) - len(text.lstrip("\r\n"))].count("\n")
    layout = {"skip": blank + int(shape.header)}
    return Detected(source, kind, encoding, shape.delimiter, shape.header, shape.columns, layout)
