"""The shape of a text table from a sample: delimiter, header or none, types of the columns."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from worker.ingest.columns import Column, plain_name

# In order of trust: a tab or "::" never stands in a number or a date, a comma and a space may
DELIMITERS = ("::", "\t", ";", "|", ",", " ")
_DATE = re.compile(r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$")
_MISSING = {"", "nan", "na", "null", "none", "n/a"}


@dataclass
class Shape:
    """Delimiter (" " stands for runs of blanks), whether a first line names the columns, and the columns."""

    delimiter: str
    header: bool
    columns: list[Column]


def guess(
    lines: Sequence[str], names: Collection[str], *, delimiter: str = "", header: bool | None = None
) -> Shape | None:
    """The shape of a text table from its first lines, or None when nothing separates columns.

    `names`: names by which columns are known, so that a line with one of them is a header.
    """
    separator = delimiter or _delimiter(lines)
    if not separator or not lines:
        return None
    rows = [cells(line, separator) for line in lines]
    named = _has_header(rows, names) if header is None else header
    return Shape(separator, named, columns_of(rows, header=named))


def cells(line: str, delimiter: str) -> list[str]:
    """The cells of one line; a quoted line break is not handled, a sample can do without."""
    if delimiter == " ":
        return line.split()
    if delimiter == "::":
        return [cell.strip() for cell in line.split("::")]
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return line.split(delimiter)


def columns_of(rows: Sequence[Sequence[str]], *, header: bool) -> list[Column]:
    """The columns of the sampled rows, named by the first of them or by their positions."""
    width = len(rows[0])
    body = rows[1:] if header else rows
    names = rows[0] if header else [str(place) for place in range(width)]
    columns: list[Column] = []
    for place in range(width):
        values = [row[place] for row in body if place < len(row)]
        columns.append(Column(names[place], place, type_of(values), [value[:80] for value in values[:20]]))
    return columns


def type_of(values: Sequence[str]) -> str:
    """integer, number, boolean, datetime or text, by all values that are there."""
    present = [value for value in values if value.lower() not in _MISSING]
    if not present:
        return "text"
    if all(re.fullmatch(r"[+-]?\d{1,18}", value) for value in present):
        return "integer"
    if all(_is_number(value) for value in present):
        return "number"
    if all(value.lower() in {"true", "false"} for value in present):
        return "boolean"
    return "datetime" if all(_DATE.match(value) for value in present) else "text"


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return "_" not in value


def _delimiter(lines: Sequence[str]) -> str:
    fallback = ""
    for candidate in DELIMITERS:
        counts = Counter(len(cells(line, candidate)) for line in lines)
        modal, times = counts.most_common(1)[0]
        if modal < 2:
            continue
        if times >= 0.9 * len(lines):
            return candidate
        if candidate != " " and times >= 0.5 * len(lines):
            fallback = fallback or candidate
    return fallback


def _has_header(rows: Sequence[Sequence[str]], names: Collection[str]) -> bool:
    first, rest = rows[0], rows[1:]
    # a single letter may be a name, but is as likely a value
    if any(len(cell) > 1 and plain_name(cell) in names for cell in first):
        return True
    if any(type_of([cell]) != "text" for cell in first):
        return False
    if not rest:
        return True
    for place, cell in enumerate(first):
        below = type_of([row[place] for row in rest if place < len(row)])
        if below != "text" and cell.lower() not in _MISSING:
            return True
    return False
