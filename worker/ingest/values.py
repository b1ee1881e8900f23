"""Cells of any format to one form: ids as dictionary-encoded text, numbers as float64, times as int64."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow, pc
from worker.ingest.cells import MISSING, is_text, labels, numbers
from worker.ingest.columns import Wanted
from worker.ingest.limits import Meter
from worker.ingest.times import times

_EXACT, _EXACT_SINGLE = 2.0**53, 2.0**24  # from here on float64 and float32 do not hold every whole number
_POINTED = r"^-?\d+\.0$"
_ROUNDED = r"^-?\d(\.\d+)?[eE]\+\d{1,3}$"


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
            return _encoded(column, wanted.name, meter, first_row, where)
        case "category":
            return categories(column, meter, where)
        case "number" | "feature":
            return numbers(column, wanted.name, first_row, where)
        case "label":
            return labels(column, wanted.name, first_row, where)
        case "time":
            return times(column, wanted.name, meter, first_row, where)
        case "text":
            texts = column.dictionary if pa.types.is_dictionary(column.type) else column
            if is_text(texts.type):
                meter.cell_length(pc.max(pc.binary_length(texts)).as_py() or 0, where)
            return column


def ids(column: Arrow, role: str, meter: Meter, first_row: int, where: str) -> Arrow:
    """Ids as dictionary-encoded strings; refuses missing ones."""
    encoded = _encoded(column, role, meter, first_row, where)
    words = pc.utf8_lower(encoded.dictionary)
    # "NA" is what R writes for a missing id; "na" may be a name
    bad = pc.or_(pc.is_in(words, MISSING), pc.equal(encoded.dictionary, "NA"))
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


def _encoded(column: Arrow, role: str, meter: Meter, first_row: int, where: str) -> Arrow:
    """Any id-like column as dictionary<int32, string>; only the distinct values are ever turned into text."""
    if pa.types.is_floating(column.type):
        column = _whole_numbers(column, role, first_row, where)
    if pa.types.is_decimal(column.type):
        column = _whole_decimals(column, role, where)
    encoded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    words = encoded.dictionary
    kind = words.type
    if not (pa.types.is_integer(kind) or is_text(kind) or pa.types.is_binary(kind) or pa.types.is_null(kind)):
        raise JobError(
            "invalid_input",
            f"The {role} column of {where} is {kind}; ids are text or whole numbers.",
            hint="Write the ids as text or whole numbers, or map another column.",
            pointer=f"/columns/{role}",
        )
    try:
        words = words.cast(pa.string())
    except (pa.ArrowInvalid, UnicodeDecodeError) as invalid:
        raise JobError("invalid_input", f"The {role} column of {where} is not UTF-8 text.") from invalid
    meter.id_length(pc.max(pc.binary_length(words)).as_py() or 0, where)
    words = pc.utf8_trim_whitespace(words)
    encoded = pa.DictionaryArray.from_arrays(encoded.indices.cast(pa.int32()), words)
    return _without_point(encoded, role, meter, first_row, where)


def _without_point(encoded: Arrow, role: str, meter: Meter, first_row: int, where: str) -> Arrow:
    """Ids like 12.0 as 12: a column of whole numbers with gaps leaves pandas so. What has lost digits is refused."""
    words = encoded.dictionary
    rounded = pc.match_substring_regex(words, _ROUNDED)
    if pc.any(rounded).as_py():
        at = first_row + pc.index(rounded.take(encoded.indices), True).as_py() + 1
        raise _digits_lost(role, at, words.filter(rounded)[0].as_py(), where)
    if not pc.any(pc.ends_with(words, ".0")).as_py():
        return encoded
    pointed = pc.fill_null(pc.match_substring_regex(words, _POINTED), False)
    if not pc.any(pointed).as_py():
        return encoded
    large = pc.and_(pointed, pc.greater_equal(pc.abs(pc.if_else(pointed, words, "0").cast(pa.float64())), _EXACT))
    if pc.any(large).as_py():
        at = first_row + pc.index(large.take(encoded.indices), True).as_py() + 1
        raise _digits_lost(role, at, words.filter(large)[0].as_py(), where)
    meter.remarks.float_ids[role] += pc.sum(pointed.take(encoded.indices)).as_py() or 0
    plain = pc.if_else(pointed, pc.utf8_slice_codeunits(words, 0, -2), words)
    return pa.DictionaryArray.from_arrays(encoded.indices, plain)


def _digits_lost(role: str, row: int, shown: str, where: str) -> JobError:
    return JobError(
        "invalid_input",
        f"The {role} id in row {row:,} of {where} is {shown[:40]}, a number with a floating point that has lost digits "
        "(from 2^53 on, not every whole number is one): different ids have become the same.",
        hint="Go back to where the ids were whole, and read and write them as whole numbers or text: in pandas "
        f'`dtype={{"column": "Int64"}}` or `dtype=str`. Or map another column to {role}.',
        pointer=f"/columns/{role}",
    )


def _whole_numbers(column: Arrow, role: str, first_row: int, where: str) -> Arrow:
    """A column of whole numbers with gaps comes out of pandas as floats; NaN becomes a missing id."""
    exact = _EXACT if pa.types.is_float64(column.type) else _EXACT_SINGLE
    large = pc.greater_equal(pc.abs(column.cast(pa.float64())), exact)
    if pc.any(large).as_py():
        at = pc.index(large, True).as_py()
        raise _digits_lost(role, first_row + at + 1, str(column[at].as_py()), where)
    column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as invalid:
        raise _fractions(role, where) from invalid


def _whole_decimals(column: Arrow, role: str, where: str) -> Arrow:
    """Databases export whole numbers as decimals."""
    try:
        return column.cast(pa.decimal128(38, 0)).cast(pa.string())
    except pa.ArrowInvalid as invalid:
        raise _fractions(role, where) from invalid


def _fractions(role: str, where: str) -> JobError:
    return JobError(
        "invalid_input",
        f"The {role} column of {where} holds fractions; ids are text or whole numbers.",
        hint=f'Map another column, as in columns={{"{role}": "id"}}, or write the ids as text.',
        pointer=f"/columns/{role}",
    )


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
