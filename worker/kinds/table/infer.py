"""Types of columns from all of their cells: text that holds whole numbers, numbers, truth values or dates becomes
these, and of every column it is decided whether it is a number, a category, or nothing to learn from.

Text files have no types, and a sample may mislead: a column is a number only where every cell that is there is one.
Cells like 007 stay text, since they are names and not numbers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Literal

import numpy as np
import pyarrow as pa

from worker.ingest.arrow import Arrow, pc
from worker.kinds.table.values import is_number, is_word, numbers

MISSING = pa.array(["", "?", "na", "n/a", "#n/a", "#na", "nan", "-nan", "null", "none", "<na>", "nat", "\\n"])
"""How text says that a cell is missing, in lower case."""
LARGEST = 1e100
"""Numbers beyond this have squares and cubes that no float holds."""
ID_SHARE = 0.95
"""Share of distinct values from which a column of words or whole numbers is an id."""
_WHOLE = r"^-?(0|[1-9]\d{0,17})$"
_NUMBER = r"^-?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"
_SEPARATED = r"^[+-]?\d{1,3}([.,]?\d{3})*([.,]\d+)?$"  # numbers with marks between thousands, or other fractions
_INEXACT = r"^-?[1-9]\d{15,}$"  # whole numbers of which floats do not hold every one
_DAY = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"
_MOMENT = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[ T]\d\d:\d\d:\d\d$"


def typed(column: Arrow, decimal: str = ".") -> Arrow:
    """A column of one chunk with blanks and words for nothing as null, and text as what all of its cells are.

    `decimal`: what stands before the fraction of a number.
    """
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())  # what Arrow computes with
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.fill_null(pc.is_finite(column), False), column, pa.scalar(None, column.type))
    if not is_word(column.type):
        return column
    words = pc.utf8_trim_whitespace(column.cast(pa.string()))
    blank = pc.is_in(pc.utf8_lower(words), MISSING)
    words = pc.if_else(pc.fill_null(blank, True), pa.scalar(None, pa.string()), words)
    return _parsed(words, decimal)


def _parsed(words: Arrow, decimal: str) -> Arrow:
    distinct = words.dictionary_encode()
    seen = distinct.dictionary
    if not len(seen):
        return words
    whole = pc.replace_substring_regex(seen, r"^\+", "")  # Arrow reads no plus
    # beside fractions after a comma, a point stands between thousands, or is a mistake
    plain = pc.replace_substring(pc.replace_substring(whole, ".", " "), ",", ".") if decimal == "," else whole
    for pattern, kind, texts in (
        (_WHOLE, pa.int64(), whole),
        (_NUMBER, pa.float64(), plain),
        (_DAY, pa.date32(), seen),
        (_MOMENT, pa.timestamp("ms"), seen),
    ):
        if not pc.all(pc.match_substring_regex(texts, pattern)).as_py():
            continue
        if pa.types.is_floating(kind) and pc.any(pc.match_substring_regex(texts, _INEXACT)).as_py():
            continue
        try:
            values = texts.cast(kind)
        except pa.ArrowException:  # the 31st of June
            continue
        if pa.types.is_floating(kind) and not pc.all(pc.is_finite(values)).as_py():
            continue
        return values.take(distinct.indices)
    lower = pc.utf8_lower(seen)
    if pc.all(pc.is_in(lower, pa.array(["true", "false"]))).as_py():
        return pc.equal(lower, "true").take(distinct.indices)
    return words


@dataclass(frozen=True)
class Verdict:
    """What a column is for: a feature that is a number or a category, or `dropped`, and then why and the cure."""

    kind: Literal["number", "category", "dropped"]
    why: str = ""


def verdict(name: str, column: Arrow, categorical: Collection[str], kept: Collection[str]) -> Verdict:
    """What a typed column is; `categorical`, `kept`: patterns of names that the user says are categories, or no ids."""
    kind = column.type
    if not (is_number(kind) or is_word(kind)):
        return Verdict("dropped", f"it holds {str(kind)[:60]}, neither numbers nor words; write it as one of these")
    if column.null_count == len(column):
        return Verdict("dropped", "all of its cells are missing")
    if is_beyond(column):
        return Verdict("dropped", f"it holds numbers beyond {LARGEST:g}; scale them down")
    is_category = is_word(kind) or matches(name, categorical)
    whole = is_word(kind) or pa.types.is_integer(kind)
    if whole and not matches(name, kept) and _is_id(column):
        return Verdict(
            "dropped",
            "nearly all of its values differ, as in a column of ids, from which nothing can be learned; if it is a "
            f'quantity, keep it with keep_columns=["{name}"]',
        )
    return Verdict("category" if is_category else "number")


def matches(name: str, patterns: Collection[str]) -> bool:
    """Whether a name is one of these, or fits one as a pattern."""
    return name in patterns or any(fnmatch(name, pattern) for pattern in patterns)


def is_beyond(column: Arrow) -> bool:
    """Whether a column holds numbers that cannot be computed with."""
    return pa.types.is_floating(column.type) and bool(np.nanmax(np.abs(numbers(column)), initial=0) > LARGEST)


def separated(column: Arrow) -> str:
    """A cell of a column of words that are all numbers but for the marks in them, such as 1,234.5; else ""."""
    if not is_word(column.type):
        return ""
    seen = column.drop_null().unique()
    if not len(seen) or not pc.all(pc.match_substring_regex(seen, _SEPARATED)).as_py():
        return ""
    marked = seen.filter(pc.match_substring_regex(seen, "[.,]"))
    return marked[0].as_py() if len(marked) else ""


def advice(name: str, cell: str) -> str:
    """What to do about a column of `separated` numbers."""
    return (
        f"The column {name!r} holds numbers with marks in them, such as {cell[:40]!r}: leave out those between "
        "thousands, and say decimal=comma, or decimal=point, where that is what stands before a fraction."
    )


def _is_id(column: Arrow) -> bool:
    there = len(column) - column.null_count
    distinct = pc.count_distinct(column).as_py()
    if there < 20 or distinct <= ID_SHARE * there:
        return False
    if is_word(column.type):
        return True
    values = numbers(column)
    values = values[np.isfinite(values)]
    # measured quantities differ, too, but they neither count up nor fill a range without gaps
    counts_up = bool((np.diff(values) > 0).all() or (np.diff(values) < 0).all())
    return counts_up or float(np.ptp(values)) < 2 * there or there >= 1000
