"""Cells of any format to one form: ids as dictionary-encoded text, numbers as float64, times as int64."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow, pc
from worker.ingest.cells import MISSING, is_bytes, is_text, labels, numbers, or_leave_out
from worker.ingest.columns import Wanted
from worker.ingest.limits import Meter
from worker.ingest.times import times

_EXACT = 2.0**53
_EXACT_BITS = {64: _EXACT, 32: 2.0**24, 16: 2.0**11}  # by width: from here on floats do not hold every whole number
_WHOLE = r"^-?\d+(\.0*)?$"
_POINTED = r"^-?\d+\.0$"
_ROUNDED = r"^-?\d(\.\d+)?[eE]\+\d{1,3}$"


def convert(batch: Arrow, wanted: Sequence[Wanted], meter: Meter, first_row: int, where: str) -> Arrow:
    """A batch in canonical types, every cell checked by what its column holds.

    id: dictionary<int32, string>, trimmed, never missing; split: the same, null where missing; category: the same of
    any type, "" where missing; number, feature: float64, NaN where missing; vector: lists
    of finite float32, all of one length; label: float64, finite; time: int64, null
    where missing; text: as it is. `first_row`: rows of this table that came before. Raises `JobError` with the row
    number, counted from 1 without the header.
    """
    meter.rows_read(batch.num_rows, where)
    found: dict[str, Arrow] = {}
    ids_first = sorted(zip(wanted, batch.columns, strict=True), key=lambda pair: pair[0].content != "id")
    for one, column in ids_first:
        if one.content != "id":
            _refuse_repeated_header(found, wanted, first_row, where)
        found[one.name] = _cells(column, one, meter, first_row, where)
    _refuse_repeated_header(found, wanted, first_row, where)
    names = [one.name for one in wanted]
    return pa.RecordBatch.from_arrays([found[name] for name in names], names=names)


def _refuse_repeated_header(found: Mapping[str, Arrow], wanted: Sequence[Wanted], first_row: int, where: str) -> None:
    """Refuse a row whose ids are the names of their columns: tables that were put one below another."""
    masks = [
        pc.equal(found[one.name].dictionary, one.column.name).take(found[one.name].indices)
        for one in wanted
        if one.content == "id"
        and not one.column.name.isdigit()
        and pc.any(pc.equal(found[one.name].dictionary, one.column.name)).as_py()
    ]
    if len(masks) > 1 and pc.any(both := pc.and_(*masks[:2])).as_py():
        row = first_row + pc.index(both, True).as_py() + 1
        raise JobError(
            "invalid_input",
            f"Row {row:,} of {where} repeats the header: tables were put one below another.",
            hint="Remove the further headers, or upload the tables as files of their own in one dataset.",
            pointer="/options/header",
        )


def _cells(column: Arrow, wanted: Wanted, meter: Meter, first_row: int, where: str) -> Arrow:
    try:
        if wanted.content not in {"id", "category"}:
            _refuse_broken_text(column, wanted.name, first_row, where)
        return _converted(column, wanted, meter, first_row, where)
    except JobError as problem:
        if wanted.required:
            problem.hint = problem.hint.replace(or_leave_out(wanted.name), "")
        raise
    except (
        pa.ArrowException,
        UnicodeError,
        OverflowError,
    ) as unforeseen:  # a type or a value that Arrow cannot convert
        raise JobError(
            "invalid_input",
            f"The {wanted.name} column of {where} ({str(column.type)[:80]}) cannot be read: {str(unforeseen)[:200]}.",
            hint=f'Write it as text or numbers, or map another column, as in columns={{"{wanted.name}": "..."}}.',
            pointer=f"/columns/{wanted.name}",
        ) from unforeseen


def _converted(column: Arrow, wanted: Wanted, meter: Meter, first_row: int, where: str) -> Arrow:
    match wanted.content:
        case "id":
            return ids(column, wanted.name, meter, first_row, where)
        case "split":
            return _encoded(column, wanted.name, meter, first_row, where)
        case "category":
            return categories(column, wanted.name, meter, first_row, where)
        case "number" | "feature":
            return numbers(column, wanted.name, first_row, where)
        case "label":
            return labels(column, wanted.name, first_row, where)
        case "time":
            return times(column, wanted.name, meter, first_row, where)
        case "vector":
            return vectors(column, wanted.name, first_row, where)
        case "text":
            texts = column.dictionary if pa.types.is_dictionary(column.type) else column
            if is_text(texts.type) and len(texts):
                lengths = pc.binary_length(texts)
                longest = pc.max(lengths).as_py() or 0
                if longest > meter.limits.text_cell_bytes:
                    at = pc.index(lengths, longest).as_py()
                    at = pc.index(column.indices, at).as_py() if texts is not column else at
                    where = f"Row {first_row + at + 1:,} of {where}"
                meter.cell_length(longest, where)
            return column


def vectors(column: Arrow, role: str, first_row: int, where: str) -> Arrow:
    """Lists of numbers as fixed_size_list<float32>; refuses missing ones, other lengths, and what is not finite."""
    kind = column.type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not lists or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise JobError(
            "invalid_input",
            f"The {role} column of {where} holds {kind}, not lists of numbers.",
            hint=f"Write Parquet or JSON lines with a list of numbers in each row{or_leave_out(role)}.",
            pointer=f"/columns/{role}",
        )
    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
    size = max(1, int(lengths[0])) if len(lengths) else 1
    wrong = np.flatnonzero(lengths != size)
    if not len(wrong):
        flat = pc.list_flatten(column).cast(pa.float32(), safe=False)
        values = pc.fill_null(flat, math.nan).to_numpy(zero_copy_only=False).reshape(-1, size)
        wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if not len(wrong):
            return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), size)
    at = int(wrong[0])
    length = int(lengths[at])
    said = (
        "is missing" if length < 0 else f"has {length} numbers, not {size} like the first"
        if length != size else "holds a number that is missing, not finite or beyond 32 bits"
    )  # fmt: skip
    raise JobError(
        "invalid_input",
        f"The {role} in row {first_row + at + 1:,} of {where} {said}.",
        hint=f"Correct the row{or_leave_out(role)}.",
        pointer=f"/columns/{role}",
    )


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
    encoded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    cell = _Cell(role, encoded, first_row, where)
    words = encoded.dictionary
    kind = words.type
    if pa.types.is_floating(kind):
        words = _whole_numbers(words, cell)
    elif pa.types.is_decimal(kind):
        words = _whole_decimals(words, cell)
    elif is_text(kind) or is_bytes(kind):
        words = _as_text(words, cell)
    elif not (pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise JobError(
            "invalid_input",
            f"The {role} column of {where} is {kind}; ids are text or whole numbers.",
            hint="Write the ids as text or whole numbers, or map another column.",
            pointer=f"/columns/{role}",
        )
    words = words.cast(pa.string())
    meter.id_length(pc.max(pc.binary_length(words)).as_py() or 0, where)
    words = pc.utf8_trim_whitespace(words)
    encoded = pa.DictionaryArray.from_arrays(encoded.indices.cast(pa.int32()), words)
    return _without_point(encoded, role, meter, first_row, where)


@dataclass(frozen=True)
class _Cell:
    """Where the words of a dictionary stand in a file."""

    role: str
    encoded: Arrow
    first_row: int
    where: str

    def first(self, wrong: Arrow) -> tuple[int, int] | None:
        """Row, from 1, and word of the first cell whose word is `wrong` (a mask); None: of no cell, as of a category
        that is not used.
        """
        if not pc.any(wrong).as_py():
            return None
        at = pc.index(pc.fill_null(wrong, False).take(self.encoded.indices), True).as_py()
        return None if at < 0 else (self.first_row + at + 1, self.encoded.indices[at].as_py())

    def refuse(self, wrong: Arrow, says: str, hint: str) -> None:
        """Raise `JobError` for the first cell whose word is wrong, if there is one."""
        found = self.first(wrong)
        if found is not None:
            raise JobError(
                "invalid_input",
                f"The {self.role} in row {found[0]:,} of {self.where} {says}.",
                hint=hint,
                pointer=f"/columns/{self.role}",
            )


def _as_text(words: Arrow, cell: _Cell, cure: str = "map another column.") -> Arrow:
    """Text or bytes as text; refuses what is not UTF-8, and NUL, which fixed-width text loses at its end."""
    try:
        words = words.cast(pa.large_string())
        words.validate(full=True)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        encoded = words.cast(pa.large_binary())
        valid = pa.array([_is_utf8(word) for word in encoded.to_pylist()])
        cell.refuse(pc.invert(valid), "is not UTF-8 text", f"Write the text in UTF-8, or {cure}")
        words = pc.if_else(valid, encoded, pa.scalar(None, pa.large_binary())).cast(pa.large_string())
    cell.refuse(
        pc.match_substring(words, "\0"),
        "holds a NUL character, which is no text",
        "Remove the NUL characters (in pandas `.str.replace('\\0', '')`), or map another column.",
    )
    return words


def _refuse_broken_text(column: Arrow, role: str, first_row: int, where: str) -> None:
    """Refuse text that is not UTF-8, which Parquet may hold, by its row."""
    encoded = pa.types.is_dictionary(column.type)
    words = column.dictionary if encoded else column
    if not is_text(words.type):
        return
    try:
        words.validate(full=True)
    except pa.ArrowInvalid:
        cure = or_leave_out(role).removeprefix(", or ") + "."
        _as_text(words, _Cell(role, column if encoded else pc.dictionary_encode(column), first_row, where), cure)


def _is_utf8(word: bytes | None) -> bool:
    try:
        return word is None or bool(word.decode("utf-8") or True)
    except UnicodeDecodeError:
        return False


def _without_point(encoded: Arrow, role: str, meter: Meter, first_row: int, where: str) -> Arrow:
    """Ids like 12.0 as 12: a column of whole numbers with gaps leaves pandas so. What has lost digits is refused."""
    words, cell = encoded.dictionary, _Cell(role, encoded, first_row, where)
    _refuse_lost(pc.match_substring_regex(words, _ROUNDED), cell)
    if not pc.any(pc.ends_with(words, ".0")).as_py():
        return encoded
    pointed = pc.fill_null(pc.match_substring_regex(words, _POINTED), False)
    if not pc.any(pointed).as_py():
        return encoded
    _refuse_lost(
        pc.and_(pointed, pc.greater_equal(pc.abs(pc.if_else(pointed, words, "0").cast(pa.float64())), _EXACT)), cell
    )
    meter.remarks.float_ids[role] += pc.sum(pointed.take(encoded.indices)).as_py() or 0
    plain = pc.if_else(pointed, pc.utf8_slice_codeunits(words, 0, -2), words)
    return pa.DictionaryArray.from_arrays(encoded.indices, plain)


def _refuse_lost(lost: Arrow, cell: _Cell) -> None:
    found = cell.first(lost)
    if found is None:
        return
    row, word = found
    raise JobError(
        "invalid_input",
        f"The {cell.role} id in row {row:,} of {cell.where} is {str(cell.encoded.dictionary[word].as_py())[:40]}, a "
        "number with a floating point that has lost digits (from 2^53 on, not every whole number is one): different "
        "ids have become the same.",
        hint="Go back to where the ids were whole, and read and write them as whole numbers or text: in pandas "
        f'`dtype={{"column": "Int64"}}` or `dtype=str`. Or map another column to {cell.role}.',
        pointer=f"/columns/{cell.role}",
    )


def _whole_numbers(words: Arrow, cell: _Cell) -> Arrow:
    """A column of whole numbers with gaps comes out of pandas as floats; NaN becomes a missing id."""
    exact = _EXACT_BITS[words.type.bit_width]
    words = words.cast(pa.float64())
    words = pc.if_else(pc.is_nan(words), pa.scalar(None, pa.float64()), words)
    _refuse_lost(pc.greater_equal(pc.abs(words), exact), cell)
    fraction = pc.not_equal(pc.floor(words), words)
    _refuse_fractions(fraction, cell)
    unused = pc.or_(fraction, pc.greater_equal(pc.abs(words), exact))
    return pc.if_else(unused, pa.scalar(None, pa.float64()), words).cast(pa.int64())


def _whole_decimals(words: Arrow, cell: _Cell) -> Arrow:
    """Databases export whole numbers as decimals."""
    texts = words.cast(pa.string())
    _refuse_fractions(pc.invert(pc.match_substring_regex(texts, _WHOLE)), cell)
    return pc.replace_substring_regex(texts, r"\.0*$", "")


def _refuse_fractions(fraction: Arrow, cell: _Cell) -> None:
    found = cell.first(fraction)
    if found is None:
        return
    row, word = found
    raise JobError(
        "invalid_input",
        f"The {cell.role} in row {row:,} of {cell.where} is {str(cell.encoded.dictionary[word].as_py())[:40]}, a "
        "fraction; ids are text or whole numbers.",
        hint=f'Map another column, as in columns={{"{cell.role}": "id"}}, or write the ids as text.',
        pointer=f"/columns/{cell.role}",
    )


def categories(column: Arrow, role: str, meter: Meter, first_row: int, where: str) -> Arrow:
    """Any column as categories: missing cells are a category of their own, the empty one."""
    encoded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    words = encoded.dictionary
    if is_text(words.type) or is_bytes(words.type):
        words = _as_text(words, _Cell(role, encoded, first_row, where))
    words = pc.utf8_trim_whitespace(words.cast(pa.string()))
    meter.id_length(pc.max(pc.binary_length(words)).as_py() or 0, where)
    with_blank = pa.concat_arrays([pc.fill_null(words, ""), pa.array([""], pa.string())])
    indices = pc.fill_null(encoded.indices.cast(pa.int32()), pa.scalar(len(words), pa.int32()))
    return pa.DictionaryArray.from_arrays(indices, with_blank)
