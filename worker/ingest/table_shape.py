"""The shape of a text table from a sample: delimiter, header or none, column types, or an adjacency list."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, field

from worker.ingest.columns import Column, role_of_name

# In order of trust: a tab or "::" never stands in a number or a date, a comma and a space may
DELIMITERS = ("::", "\t", ";", "|", ",", " ")
_LINES = 200
_DATE = re.compile(r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$")
_MISSING = {"", "nan", "na", "null", "none", "n/a"}


@dataclass
class Shape:
    """Delimiter (" " stands for runs of blanks), whether a first line names the columns, and the columns."""

    delimiter: str
    header: bool
    columns: list[Column] = field(default_factory=list)
    adjacency: bool = False


def guess(text: str, *, delimiter: str = "", header: bool | None = None, adjacency: bool | None = None) -> Shape | None:
    """The shape of a sample of a text table, or None when nothing separates columns."""
    lines = [line for line in text.splitlines() if line.strip()][:_LINES]
    if adjacency is None and not delimiter:
        adjacency = _is_adjacency(lines)
    if adjacency:
        columns = [Column("user", 0, "text", [], "user"), Column("items", 1, "text", [], "item")]
        firsts = [line.split() for line in lines[:3]]
        columns[0].examples = [tokens[0] for tokens in firsts]
        columns[1].examples = [" ".join(tokens[1:6]) for tokens in firsts]
        return Shape(" ", False, columns, adjacency=True)
    separator = delimiter or _delimiter(lines)
    if not separator:
        return None
    rows = [cells(line, separator) for line in lines]
    named = _has_header(rows) if header is None else header
    return Shape(separator, named, _columns(rows, named))


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


def typed_columns(text: str) -> list[Column]:
    """Columns of a RecBole file: the header says name and type."""
    lines = [line for line in text.splitlines() if line.strip()][:_LINES]
    names = lines[0].split("\t")
    columns = _columns([line.split("\t") for line in lines], True)
    for column, name in zip(columns, names, strict=True):
        column.name, _, kind = name.strip().partition(":")
        column.type = {"token": "text", "float": "number"}.get(kind, "nested")
    return columns


def type_of(values: list[str]) -> str:
    """integer, number, datetime or text, by all values that are there."""
    present = [value for value in values if value.lower() not in _MISSING]
    if not present:
        return "text"
    if all(re.fullmatch(r"[+-]?\d{1,18}", value) for value in present):
        return "integer"
    if all(_is_number(value) for value in present):
        return "number"
    return "datetime" if all(_DATE.match(value) for value in present) else "text"


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return "_" not in value


def _delimiter(lines: list[str]) -> str:
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


def _is_adjacency(lines: list[str]) -> bool:
    """LightGCN's "user item item ...": one line a user, blanks between, and lines of unlike (or large) length."""
    if any(mark in "".join(lines) for mark in ",;|\t:") or len(lines) < 2:
        return False
    rows = [line.split() for line in lines]
    if not all(token.isdigit() for row in rows for token in row):
        return False
    lengths = {len(row) for row in rows}
    one_line_a_user = len({row[0] for row in rows}) == len(rows)
    unlike = len(lengths) > 2 or (len(lengths) == 2 and max(lengths) > 4)
    return one_line_a_user and (unlike or min(lengths) > 4)


def _has_header(rows: list[list[str]]) -> bool:
    first, rest = rows[0], rows[1:]
    if any(role_of_name(cell) for cell in first):
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


def _columns(rows: list[list[str]], header: bool) -> list[Column]:
    width = len(rows[0])
    body = rows[1:] if header else rows
    names = rows[0] if header else [str(place) for place in range(width)]
    columns = []
    for place in range(width):
        values = [row[place] for row in body if place < len(row)]
        columns.append(Column(names[place], place, type_of(values), [value[:80] for value in values[:20]]))
    return columns
