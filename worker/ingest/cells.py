"""Cells that are numbers, in any type that a file may have for them, and the refusal of one that is none."""

from __future__ import annotations

import math
import re

import numpy as np
import pyarrow as pa

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow, pc

MISSING = pa.array(["", "nan", "null", "none", "<na>", "nat", "n/a", "#n/a", "\\n"])
"""How files write that a cell is missing, in lower case."""
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
"""A finite number as text."""
_NUMBER_OR_INFINITE = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[iI][nN][fF])$"
_LARGEST_SINGLE = float(np.finfo(np.float32).max)
_TRUTH = pa.array(["false", "true"])


def is_text(kind: Arrow) -> bool:
    """Whether a type of Arrow holds text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_bytes(kind: Arrow) -> bool:
    """Whether a type of Arrow holds bytes."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def labels(column: Arrow, role: str, first_row: int, where: str) -> Arrow:
    """What is given to every row, as finite float64; raises `non_numeric_label` with the row otherwise."""
    values = as_numbers(column, role, first_row, where, "non_numeric_label")
    finite = pc.fill_null(pc.is_finite(values), False)
    if not pc.all(finite).as_py():
        at = pc.index(finite, False).as_py()
        raise wrong_cell(role, column, at, first_row, where, "non_numeric_label")
    if pc.any(far := pc.greater(pc.abs(values), _LARGEST_SINGLE)).as_py():
        at = pc.index(far, True).as_py()
        raise wrong_cell(role, column, at, first_row, where, "non_numeric_label", "a number of 32 bits (up to 3.4e38)")
    return values


def numbers(column: Arrow, role: str, first_row: int, where: str) -> Arrow:
    """Any column of numbers as float64, NaN where a cell is missing; infinities pass."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_text(column.type):
        column = _truth_as_numbers(pc.utf8_trim_whitespace(column))
        blank = pc.is_in(pc.utf8_lower(column), MISSING)
        column = pc.if_else(blank, pa.scalar(None, column.type), column)
        wrong = pc.and_(pc.is_valid(column), pc.invert(pc.match_substring_regex(column, _NUMBER_OR_INFINITE)))
        if pc.any(wrong).as_py():
            at = pc.index(pc.fill_null(wrong, False), True).as_py()
            raise wrong_cell(role, column, at, first_row, where, "invalid_input")
        return pc.fill_null(column.cast(pa.float64()), math.nan)
    return pc.fill_null(as_numbers(column, role, first_row, where), math.nan)


def as_numbers(column: Arrow, role: str, first_row: int, where: str, code: str = "invalid_input") -> Arrow:
    """Any column of numbers or of true and false as float64, null where an Arrow number is null."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return column.cast(pa.float64(), safe=False)
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    if not is_text(kind):
        raise JobError("non_numeric_label", f"The {role} column of {where} is {kind}.", pointer=f"/columns/{role}")
    trimmed = _truth_as_numbers(pc.utf8_trim_whitespace(column))
    fine = pc.fill_null(pc.match_substring_regex(trimmed, NUMBER), False)
    if not pc.all(fine).as_py():
        raise wrong_cell(role, column, pc.index(fine, False).as_py(), first_row, where, code)
    return trimmed.cast(pa.float64())


def wrong_cell(
    role: str, column: Arrow, at: int, first_row: int, where: str, code: str, what: str = "a number"
) -> JobError:
    """The refusal of a cell: says its row, what it holds and what it should be."""
    cell = column[at].as_py()
    said = "missing" if cell is None else f"{str(cell)[:60]!r}, not {what}"
    return JobError(
        code,
        f"The {role} in row {first_row + at + 1:,} of {where} is {said}.",
        hint=f"Correct the row{or_leave_out(role)}.{_if_comma(cell)}",
        pointer=f"/columns/{role}",
    )


def or_leave_out(role: str) -> str:
    """The second way out of a wrong cell."""
    return f', or leave the column out with columns={{"{role}": ""}}'


def _if_comma(cell: object) -> str:
    comma = isinstance(cell, str) and re.fullmatch(r"\s*[+-]?\d+(,\d+)+\s*", cell)
    return " Where the comma is a decimal point, say decimal=comma; between thousands, leave it out." if comma else ""


def _truth_as_numbers(column: Arrow) -> Arrow:
    """True is 1 and false 0, however they are written."""
    place = pc.index_in(pc.utf8_lower(column), _TRUTH)
    return column if place.null_count == len(place) else pc.coalesce(place.cast(column.type), column)
