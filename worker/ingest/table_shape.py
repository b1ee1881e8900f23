"""The shape of a text table from a sample: delimiter, header or none, types of the columns."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from worker.ingest.columns import Column, plain_name

# In order of trust: a tab or "::" never stands in a number or a date, a comma and a space may
DELIMITERS = ("\x01", "::", "\t", ";", "|", ",", " ")
_WEAK = {";": 1, "|": 2, ",": 2, " ": 3}  # what also joins words or figures inside cells
_TITLE_LINES = 3
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_DATE = re.compile(r"^\d{4}([-/])\d\d\1\d\d([ T]\d\d:\d\d(:\d\d([.,]\d+)?)?( ?[+-]\d\d(:?\d\d)?|Z| ?UTC| ?GMT)?)?$")
_MISSING = {"", "nan", "na", "null", "none", "n/a", "#n/a", "<na>", "nat", "\\n"}


@dataclass
class Shape:
    """Delimiter (" " stands for runs of blanks), whether a first line names the columns, and the columns.

    `above`: lines that are not blank above the first row (a header, comments, Excel's `sep=`); `quote`: the quotation
    mark around cells, "" where marks are characters; `multiline`: whether quoted cells run over line ends; `numbered`:
    the first line is 0, 1, 2 ..., the header of a table without names; `titled`: a title stands above the header;
    `cells`: how many most rows have.
    """

    delimiter: str
    header: bool
    columns: list[Column]
    above: int = 0
    quote: str = ""
    multiline: bool = False
    numbered: bool = False
    titled: bool = False
    cells: int = 0


@dataclass(frozen=True)
class _Reading:
    """The sampled lines as rows of one delimiter. `width`: the number of cells of most rows, `share`: of how many."""

    delimiter: str
    quote: str
    multiline: bool
    rows: list[list[str]]
    width: int
    share: float


def guess(
    lines: Sequence[str],
    names: Collection[str],
    *,
    delimiter: str = "",
    header: bool | None = None,
    quote: str | None = None,
) -> Shape | None:
    """The shape of a text table from its first lines, or None when nothing separates columns.

    `names`: names by which columns are known, so that a line with one of them is a header. `quote`: the quotation mark,
    "" for none, None: to be guessed.
    """
    if not lines:
        return None
    named = _SEPARATOR_LINE.fullmatch(lines[0].strip())
    if named and len(lines) > 1:
        return _under(1, guess(lines[1:], names, delimiter=delimiter or named[1], header=header, quote=quote))
    if lines[0].lstrip().startswith("#"):
        commented = _below_comments(lines, names, delimiter, header, quote)
        if commented is not None:
            return commented
    if count := _titles_above(lines, names, delimiter):
        below = _under(count, guess(lines[count:], names, delimiter=delimiter, header=header, quote=quote))
        return None if below is None else replace(below, titled=True)
    reading = _read(lines, delimiter, quote) if delimiter else _best(lines, names, quote)
    return None if reading is None else _shape(reading, names, header)


def _titles_above(lines: Sequence[str], names: Collection[str], delimiter: str) -> int:
    """How many lines stand above a header with known names, and have fewer cells than it."""
    for candidate in (delimiter,) if delimiter else [one for one in DELIMITERS if one != " "]:
        rows = [cells(line, candidate) for line in lines[: _TITLE_LINES + 1]]
        for count, row in enumerate(rows):
            if len(row) > 2 and any(len(cell) > 1 and plain_name(cell) in names for cell in row):
                return count if all(len(above) < len(row) - 1 for above in rows[:count]) else 0
    return 0


def _shape(reading: _Reading, names: Collection[str], header: bool | None) -> Shape:
    rows = reading.rows
    numbered = header is None and len(rows) > 1 and _is_numbered(rows[0])
    named = (not numbered and _has_header(rows, names)) if header is None else header
    if named:
        rows = [_as_wide_as(rows[0], rows[1:], reading.width), *rows[1:]]
    columns = columns_of(rows, header=named or numbered)
    above = int(named or numbered)
    return Shape(
        reading.delimiter, named, columns, above, reading.quote, reading.multiline, numbered, cells=reading.width
    )


def _as_wide_as(header: list[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """The header without, or with, a blank name at its end, where only it or only the rows end with a delimiter."""
    if len(header) == width + 1 and header[-1] == "":
        return header[:-1]
    if len(header) == width - 1 and all(row[-1] == "" for row in rows if len(row) == width):
        return [*header, ""]
    return header


def _under(count: int, shape: Shape | None) -> Shape | None:
    return None if shape is None else replace(shape, above=shape.above + count)


def _below_comments(
    lines: Sequence[str], names: Collection[str], delimiter: str, header: bool | None, quote: str | None
) -> Shape | None:
    """The table below lines that begin with "#", the last of which may name the columns; None where these are rows."""
    count = next((place for place, line in enumerate(lines) if not line.lstrip().startswith("#")), len(lines))
    shape = guess(lines[count:], names, delimiter=delimiter, header=header, quote=quote)
    if shape is None:
        return None
    last = cells(lines[count - 1].lstrip().lstrip("#").strip(), shape.delimiter, shape.quote)
    if len(last) == len(shape.columns) and not shape.header and any(plain_name(cell) in names for cell in last):
        columns = [replace(column, name=name) for column, name in zip(shape.columns, last, strict=True)]
        return replace(shape, header=True, columns=columns, above=count)
    if any(len(cells(line, shape.delimiter, shape.quote)) == len(shape.columns) for line in lines[:count]):
        return None
    return _under(count, shape)


def cells(line: str, delimiter: str, quote: str = '"') -> list[str]:
    """The cells of one line."""
    if delimiter == " ":
        return line.split()
    if delimiter == "::" or not quote:
        return [cell.strip() for cell in line.split(delimiter)]
    return next(iter(_quoted_rows([line], delimiter, quote)), [])


def _quoted_rows(lines: Sequence[str], delimiter: str, quote: str) -> list[list[str]]:
    try:
        reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter, quotechar=quote)
        return [[cell.strip() for cell in row] for row in reader]
    except csv.Error:
        return [line.split(delimiter) for line in lines]


def _read(lines: Sequence[str], delimiter: str, quote: str | None) -> _Reading:
    mark, multiline = _quoting(lines, delimiter, quote)
    if multiline:
        rows = _quoted_rows(lines, delimiter, mark)
        rows = rows[:-1] if len(rows) > 2 else rows  # the sample may end inside a cell
    else:
        rows = [cells(line, delimiter, mark) for line in lines]
    width, times = Counter(len(row) for row in rows).most_common(1)[0]
    return _Reading(delimiter, mark, multiline, rows, width, times / len(rows))


def _quoting(lines: Sequence[str], delimiter: str, quote: str | None) -> tuple[str, bool]:
    """The quotation mark, "" where marks are characters, and whether quoted cells run over line ends.

    A mark without a second one in its line opens a cell of several lines, unless all lines have one number of cells as
    they are: then the marks are characters.
    """
    if delimiter in {"::", " "} or quote == "":
        return "", False
    singly = all(len(line) > 1 and line.strip()[0] == line.strip()[-1] == "'" for line in lines)
    mark = quote or ("'" if singly else '"')
    if not any(line.count(mark) % 2 for line in lines):
        return mark, False
    if quote is None and len({line.count(delimiter) for line in lines}) == 1:
        return "", False
    return mark, True


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


def _best(lines: Sequence[str], names: Collection[str], quote: str | None) -> _Reading | None:
    """The delimiter by which most rows have one number of cells, and the first row too: genres that are joined by "|"
    in every row are not in the header.
    """
    readings = [_read(lines, candidate, quote) for candidate in DELIMITERS]
    readings = [reading for reading in readings if reading.width > 1]
    steady = [reading for reading in readings if reading.share >= 0.9]

    def trust(reading: _Reading) -> tuple[bool, bool, int, int]:
        known = any(len(cell) > 1 and plain_name(cell) in names for cell in reading.rows[0])
        weak = _WEAK.get(reading.delimiter, 0)
        return known, len(reading.rows[0]) == reading.width, -weak, reading.width

    if steady:
        return max(steady, key=trust)
    return next((reading for reading in readings if reading.delimiter != " " and reading.share >= 0.5), None)


def _is_numbered(first: Sequence[str]) -> bool:
    """Whether a line is 0, 1, 2 ..., as pandas writes names that there are not; two numbers may as well be a pair."""
    numbers = first[1:] if first[0] == "" else first
    return len(numbers) > 2 and list(numbers) == [str(place) for place in range(len(numbers))]


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
