"""Cells of any format to one form: ids as dictionary-encoded text, numbers as float64, times as int64."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyarrow as pa

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow, pc
from worker.ingest.columns import Wanted
from worker.ingest.limits import Meter

_MISSING = pa.array(["", "nan", "null", "none", "<na>", "nat"])
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_NUMBER_OR_INFINITE = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[iI][nN][fF])$"


def convert(batch: Arrow, wanted: Sequence[Wanted], meter: Meter, first_row: int, where: str) -> Arrow:
    """A batch in canonical types, every cell checked by what its column holds.

    id: dictionary<int32, string>, trimmed, never missing; split: the same, null where missing; category: the same of
    any type, "" where missing; number, feature: float64, NaN where missing; label: float64, finite; time: int64, null
    where missing; text: as it is. `first_row`: rows of this table that came before. Raises `JobError` with the row
    number, counted from 1 without the header.
    """
    meter.rows_read(batch.num_rows, where)
    columns = [
        _converted(column, one, meter, first_row, where) for one, column in zip(wanted, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=[one.name for one in wanted])


def _converted(column: Arrow, wanted: Wanted, meter: Meter, first_row: int, where: str) -> Arrow:
    match wanted.content:
        case "id":
            return ids(column, wanted.name, meter, first_row, where)
        case "split":
            return _encoded(column, wanted.name, meter, where)
        case "category":
            return categories(column, meter, where)
        case "number" | "feature":
            return numbers(column, wanted.name, first_row, where)
        case "label":
            return labels(column, wanted.name, first_row, where)
        case "time":
            return times(column, wanted.name, first_row, where)
        case "text":
            texts = column.dictionary if pa.types.is_dictionary(column.type) else column
            if _is_text(texts.type):
                meter.cell_length(pc.max(pc.binary_length(texts)).as_py() or 0, where)
            return column


def ids(column: Arrow, role: str, meter: Meter, first_row: int, where: str) -> Arrow:
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


def _encoded(column: Arrow, role: str, meter: Meter, where: str) -> Arrow:
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


def _is_text(kind: Arrow) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _whole_numbers(column: Arrow, role: str, where: str) -> Arrow:
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


def categories(column: Arrow, meter: Meter, where: str) -> Arrow:
    """Any column as categories: missing cells are a category of their own, the empty one."""
    encoded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    try:
        words = pc.utf8_trim_whitespace(encoded.dictionary.cast(pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as invalid:
        raise JobError("invalid_input", f"A column of {where} cannot be read as categories: {invalid}.") from invalid
    meter.id_length(pc.max(pc.binary_length(words)).as_py() or 0, where)
    with_blank = pa.concat_arrays([pc.fill_null(words, ""), pa.array([""], pa.string())])
    indices = pc.fill_null(encoded.indices.cast(pa.int32()), pa.scalar(len(words), pa.int32()))
    return pa.DictionaryArray.from_arrays(indices, with_blank)


def labels(column: Arrow, role: str, first_row: int, where: str) -> Arrow:
    """What is given to every row, as finite float64; raises `non_numeric_label` with the row otherwise."""
    values = _numbers(column, role, first_row, where, "non_numeric_label")
    finite = pc.fill_null(pc.is_finite(values), False)
    if not pc.all(finite).as_py():
        at = pc.index(finite, False).as_py()
        raise _wrong_cell(role, column, at, first_row, where, "non_numeric_label")
    return values


def numbers(column: Arrow, role: str, first_row: int, where: str) -> Arrow:
    """Any column of numbers as float64, NaN where a cell is missing; infinities pass."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_text(column.type):
        column = pc.utf8_trim_whitespace(column)
        blank = pc.is_in(pc.utf8_lower(column), _MISSING)
        column = pc.if_else(blank, pa.scalar(None, column.type), column)
        wrong = pc.and_(pc.is_valid(column), pc.invert(pc.match_substring_regex(column, _NUMBER_OR_INFINITE)))
        if pc.any(wrong).as_py():
            at = pc.index(pc.fill_null(wrong, False), True).as_py()
            raise _wrong_cell(role, column, at, first_row, where, "invalid_input")
        return pc.fill_null(column.cast(pa.float64()), math.nan)
    return pc.fill_null(_numbers(column, role, first_row, where), math.nan)


def times(column: Arrow, role: str, first_row: int, where: str) -> Arrow:
    """Times as int64: numbers as they are (fractions cut off), dates and date-times as milliseconds since 1970 UTC."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    if _is_text(column.type):
        column = _text_times(column, role, first_row, where)
    if pa.types.is_timestamp(column.type):
        return _milliseconds(column, role)
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    values = _numbers(column, role, first_row, where)
    finite = pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
    if pc.any(pc.greater(pc.abs(finite), 9e18)).as_py():
        raise JobError("invalid_input", f"A time of {where} is out of range.", pointer=f"/columns/{role}")
    return pc.floor(finite).cast(pa.int64())


def _text_times(column: Arrow, role: str, first_row: int, where: str) -> Arrow:
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
    raise _wrong_cell(role, column, at, first_row, where, "invalid_input", "a time")


def _milliseconds(column: Arrow, role: str) -> Arrow:
    try:
        return pc.cast(column, pa.timestamp("ms", tz=column.type.tz), safe=False).cast(pa.int64())
    except pa.ArrowInvalid as invalid:
        raise JobError("invalid_input", f"A time is out of range: {invalid}", pointer=f"/columns/{role}") from invalid


def _numbers(column: Arrow, role: str, first_row: int, where: str, code: str = "invalid_input") -> Arrow:
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
        raise _wrong_cell(role, column, pc.index(fine, False).as_py(), first_row, where, code)
    return trimmed.cast(pa.float64())


def _wrong_cell(
    role: str, column: Arrow, at: int, first_row: int, where: str, code: str, what: str = "a number"
) -> JobError:
    shown = repr(str(column[at].as_py())[:60])
    return JobError(
        code,
        f"The {role} in row {first_row + at + 1:,} of {where} is {shown}, not {what}.",
        hint=f'Correct the row, or leave the column out with columns={{"{role}": ""}}.',
        pointer=f"/columns/{role}",
    )
