"""Raw columns of any format to one form: ids as dictionary-encoded strings, ratings float64, times int64."""

from __future__ import annotations

import math
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from worker.ingest.limits import Meter
from worker.contract.errors import JobError

IDS = pa.dictionary(pa.int32(), pa.string())
_MISSING = pa.array(["", "nan", "null", "none", "<na>", "nat"])
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_NUMBER_OR_INFINITE = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[iI][nN][fF])$"


def canonical(
    batch: pa.RecordBatch, meter: Meter, first_row: int, where: str, numeric: Collection[str] = ()
) -> pa.RecordBatch:
    """A batch whose columns are named by role in canonical types, every cell checked.

    user, item, split: dictionary<int32, string>, trimmed, never empty; rating: float64, finite; timestamp: int64,
    null when missing; the roles in `numeric`: float64, NaN when missing. `first_row`: rows of this table that came
    before. Raises `JobError` with the row number, counted from 1 without the header.
    """
    meter.rows_read(batch.num_rows, where)
    columns = []
    for role, column in zip(batch.schema.names, batch.columns, strict=True):
        if role in numeric:
            columns.append(numbers(column, role, first_row, where))
        elif role in {"user", "item"}:
            columns.append(ids(column, role, meter, first_row, where))
        elif role == "split":
            columns.append(_encoded(column, role, meter, where))
        elif role == "rating":
            columns.append(ratings(column, first_row, where))
        elif role == "timestamp":
            columns.append(timestamps(column, first_row, where))
        else:
            texts = column.dictionary if pa.types.is_dictionary(column.type) else column
            if _is_text(texts.type):
                meter.cell_length(pc.max(pc.binary_length(texts)).as_py() or 0, where)
            columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def ids(column: pa.Array, role: str, meter: Meter, first_row: int, where: str) -> pa.DictionaryArray:
    """Ids as dictionary-encoded strings; refuses missing ones."""
    encoded = _encoded(column, role, meter, where)
    words = pc.utf8_lower(encoded.dictionary)
    # "NA" is what R writes for a missing id; "na" may be a name
    bad = pc.or_(pc.is_in(words, _MISSING), pc.equal(encoded.dictionary, "NA"))
    if encoded.null_count or encoded.dictionary.null_count or pc.any(bad).as_py():
        missing = pc.fill_null(bad.take(encoded.indices), True)
        row = first_row + pc.index(missing, True).as_py() + 1
        if row <= first_row:  # the missing word stands in the dictionary but in no row
            return encoded
        raise JobError(
            "invalid_input",
            f"The {role} id in row {row:,} of {where} is missing (empty or NaN).",
            hint="Remove the rows without an id, or check the column map.",
            pointer=f"/columns/{role}",
        )
    return encoded


def _encoded(column: pa.Array, role: str, meter: Meter, where: str) -> pa.DictionaryArray:
    """Any id-like column as dictionary<int32, string>; only the distinct values are ever turned into text."""
    if pa.types.is_floating(column.type):
        column = _whole_numbers(column, role, where)
    encoded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    words = encoded.dictionary
    kind = words.type
    if not (pa.types.is_integer(kind) or _is_text(kind) or pa.types.is_binary(kind) or pa.types.is_null(kind)):
        raise JobError(
            "invalid_input",
            f"The {role} column of {where} is {kind}; ids are text or whole numbers.",
            hint="Choose another column, or convert it.",
            pointer=f"/columns/{role}",
        )
    try:
        words = words.cast(pa.string())
    except (pa.ArrowInvalid, UnicodeDecodeError) as invalid:
        raise JobError("invalid_input", f"The {role} column of {where} is not UTF-8 text.") from invalid
    meter.id_length(pc.max(pc.binary_length(words)).as_py() or 0, where)
    words = pc.utf8_trim_whitespace(words)
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(pa.int32()), words)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _whole_numbers(column: pa.Array, role: str, where: str) -> pa.Array:
    """A column of whole numbers with gaps comes out of pandas as floats; NaN becomes a missing id."""
    column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as invalid:
        raise JobError(
            "invalid_input",
            f"The {role} column of {where} holds fractions; ids are text or whole numbers.",
            pointer=f"/columns/{role}",
        ) from invalid


def ratings(column: pa.Array, first_row: int, where: str) -> pa.Array:
    """Ratings as finite float64; raises `non_numeric_label` with the row otherwise."""
    numbers = _numbers(column, "rating", first_row, where)
    finite = pc.fill_null(pc.is_finite(numbers), False)
    if not pc.all(finite).as_py():
        raise _not_a_number("rating", column, pc.index(finite, False).as_py(), first_row, where)
    return numbers


def numbers(column: pa.Array, role: str, first_row: int, where: str) -> pa.Array:
    """Any column of numbers as float64, NaN where a cell is missing; infinities pass."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_text(column.type):
        column = pc.utf8_trim_whitespace(column)
        blank = pc.is_in(pc.utf8_lower(column), _MISSING)
        column = pc.if_else(blank, pa.scalar(None, column.type), column)
        wrong = pc.and_(pc.is_valid(column), pc.invert(pc.match_substring_regex(column, _NUMBER_OR_INFINITE)))
        if pc.any(wrong).as_py():
            raise _not_a_number(role, column, pc.index(pc.fill_null(wrong, False), True).as_py(), first_row, where)
        return pc.fill_null(column.cast(pa.float64()), math.nan)
    return pc.fill_null(_numbers(column, role, first_row, where), math.nan)


def timestamps(column: pa.Array, first_row: int, where: str) -> pa.Array:
    """Times as int64: numbers as they are (fractions cut off), dates and date-times as milliseconds since 1970 UTC."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    if _is_text(column.type):
        column = _text_times(column, first_row, where)
    if pa.types.is_timestamp(column.type):
        return _milliseconds(column)
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    numbers = _numbers(column, "timestamp", first_row, where)
    finite = pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))
    if pc.any(pc.greater(pc.abs(finite), 9e18)).as_py():
        raise JobError("invalid_input", f"A time of {where} is out of range.", pointer="/columns/timestamp")
    return pc.floor(finite).cast(pa.int64())


def _text_times(column: pa.Array, first_row: int, where: str) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(column)
    blank = pc.is_in(pc.utf8_lower(trimmed), _MISSING)
    trimmed = pc.if_else(blank, pa.scalar(None, trimmed.type), trimmed)
    for kind in (pa.float64(), pa.timestamp("us"), pa.timestamp("us", tz="UTC")):
        try:
            return trimmed.cast(kind)
        except pa.ArrowInvalid:
            continue
    parsed = pc.strptime(trimmed, format="%Y-%m-%d", unit="s", error_is_null=True)
    wrong = pc.and_(pc.is_valid(trimmed), pc.invert(pc.match_substring_regex(trimmed, r"^[\d\-:T .Z+]+$")))
    at = pc.index(wrong, True).as_py()
    if at < 0:
        at = max(pc.index(pc.and_(pc.is_valid(trimmed), pc.is_null(parsed)), True).as_py(), 0)
    raise _not_a_number("timestamp", column, at, first_row, where)


def _milliseconds(column: pa.Array) -> pa.Array:
    try:
        return pc.cast(column, pa.timestamp("ms", tz=column.type.tz), safe=False).cast(pa.int64())
    except pa.ArrowInvalid as invalid:
        raise JobError("invalid_input", f"A time is out of range: {invalid}", pointer="/columns/timestamp") from invalid


def _numbers(column: pa.Array, role: str, first_row: int, where: str) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return column.cast(pa.float64(), safe=False)
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    if not _is_text(kind):
        raise JobError("non_numeric_label", f"The {role} column of {where} is {kind}.", pointer=f"/columns/{role}")
    trimmed = pc.utf8_trim_whitespace(column)
    fine = pc.fill_null(pc.match_substring_regex(trimmed, _NUMBER), False)
    if not pc.all(fine).as_py():
        raise _not_a_number(role, column, pc.index(fine, False).as_py(), first_row, where)
    return trimmed.cast(pa.float64())


def _not_a_number(role: str, column: pa.Array, at: int, first_row: int, where: str) -> JobError:
    shown = repr(str(column[at].as_py())[:60])
    what = "a time" if role == "timestamp" else "a number"
    return JobError(
        "non_numeric_label" if role == "rating" else "invalid_input",
        f"The {role} in row {first_row + at + 1:,} of {where} is {shown}, not {what}.",
        hint=f'Correct the row, or leave the column out with columns={{"{role}": ""}}.',
        pointer=f"/columns/{role}",
    )
