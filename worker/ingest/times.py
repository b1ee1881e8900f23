"""Cells that say when: numbers, dates and texts to one int64 a row, without losing the order of any two of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.ingest.arrow import Arrow, pc
from worker.ingest.cells import MISSING, NUMBER, as_numbers, is_text, or_leave_out, wrong_cell
from worker.ingest.limits import Meter

NO_TIME = int(np.iinfo(np.int64).min)
"""A missing time among whole columns of int64."""
_LARGEST = 9e18
_ZONE = r"(Z|[+-]\d\d(:?\d\d)?)$"
_BLANK_BEFORE_ZONE = r"(:\d\d(?:\.\d+)?) +([+-]\d\d(:?\d\d)?)$"
_SLASHES = r"^(\d{4})/(\d\d)/(\d\d)\b"
_COMMA_FRACTION = r"(:\d\d),(\d+)\b"
_UTC_BY_NAME = r" ?(UTC|GMT)$"
_A_TIME = "a time, as in 2020-01-31, 2020-01-31 18:05:00+01:00 or seconds since 1970"
_PER_MILLISECOND = {"ms": 1, "us": 1_000, "ns": 1_000_000}


def times(column: Arrow, role: str, meter: Meter, first_row: int, where: str) -> Arrow:
    """Times of a batch, null where missing: whole numbers as they are and dates as milliseconds since 1970 UTC, both
    int64; numbers with fractions as float64; dates finer than a millisecond as timestamps. `settle` joins them.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    if is_text(column.type):
        column = _text_times(column, role, meter, first_row, where)
    if pa.types.is_timestamp(column.type):
        return _instants(column, role)
    if pa.types.is_time(column.type) or pa.types.is_duration(column.type):
        raise JobError(
            "invalid_input",
            f"The {role} column of {where} is {column.type}: times of the day or spans of time order nothing.",
            hint=f"Upload one column of date and time{or_leave_out(role)}.",
            pointer=f"/columns/{role}",
        )
    if pa.types.is_integer(column.type):
        return _whole(column, role, first_row, where)
    values = as_numbers(column, role, first_row, where)
    finite = pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
    if pc.any(far := pc.greater(pc.abs(finite), _LARGEST)).as_py():
        raise _out_of_range(column, pc.index(pc.fill_null(far, False), True).as_py(), role, first_row, where)
    whole = pc.all(pc.equal(pc.floor(finite), finite)).as_py()
    return finite if whole is False else finite.cast(pa.int64())


def _whole(column: Arrow, role: str, first_row: int, where: str) -> Arrow:
    if (
        pa.types.is_uint64(column.type)
        and pc.any(far := pc.greater(column, pa.scalar(int(_LARGEST), pa.uint64()))).as_py()
    ):
        raise _out_of_range(column, pc.index(pc.fill_null(far, False), True).as_py(), role, first_row, where)
    return column.cast(pa.int64())


def _out_of_range(column: Arrow, at: int, role: str, first_row: int, where: str) -> JobError:
    return JobError(
        "invalid_input",
        f"The {role} in row {first_row + at + 1:,} of {where} is {column[at].as_py()}, which is no time: at most "
        f"{_LARGEST:g}.",
        hint=f"Write seconds, milliseconds or nanoseconds since 1970{or_leave_out(role)}.",
        pointer=f"/columns/{role}",
    )


def settle(parts: Sequence[Arrow]) -> NDArray[np.int64]:
    """The batches of a column of times as one array, `NO_TIME` where missing.

    Whole numbers stay what they are. Where one number has a fraction all become thousandths, or millionths if
    thousandths do not hold it. Where one date is finer than a millisecond all become microseconds or nanoseconds;
    raises `JobError` where 64 bits do not hold another in that unit.
    """
    fractions = [part for part in parts if pa.types.is_floating(part.type)]
    if fractions:
        factor = _scale(fractions, parts)
        return np.concatenate([_scaled(part.cast(pa.float64()), factor) for part in parts])
    units = [part.type.unit for part in parts if pa.types.is_timestamp(part.type)]
    finest = max(units, key=_PER_MILLISECOND.__getitem__, default="ms")
    try:
        return np.concatenate([_in_unit(part, finest) for part in parts])
    except pa.ArrowInvalid as far:
        raise JobError(
            "invalid_input",
            f"Some times are finer than a millisecond, others too far away for 64 bits to hold them in {finest}.",
            hint="Write all times to the millisecond, or leave out those that are none, as of the year 9999.",
            pointer="/columns/timestamp",
        ) from far


def _scale(fractions: Sequence[Arrow], parts: Sequence[Arrow]) -> int:
    largest = max(float(pc.max(pc.abs(part)).as_py() or 0) for part in parts)
    thousandths = True
    for part in fractions:
        values = part.drop_null().to_numpy(zero_copy_only=False) * 1_000
        # a number of seconds since 1970 has about seven digits after the point
        thousandths = thousandths and bool((np.abs(values - np.rint(values)) <= 1e-3).all())
    if not thousandths and largest * 1_000_000 < _LARGEST:
        return 1_000_000
    return 1_000 if largest * 1_000 < _LARGEST else 1


def _scaled(part: Arrow, factor: int) -> NDArray[np.int64]:
    values = part.to_numpy(zero_copy_only=False)
    missing = np.isnan(values)
    found = np.rint(np.where(missing, 0, values) * factor).astype(np.int64)
    found[missing] = NO_TIME
    return found


def _in_unit(part: Arrow, unit: str) -> NDArray[np.int64]:
    if pa.types.is_timestamp(part.type):
        part = part.cast(pa.timestamp(unit)).cast(pa.int64())
    elif unit != "ms":
        part = pc.multiply_checked(part, _PER_MILLISECOND[unit])
    return pc.fill_null(part, NO_TIME).to_numpy(zero_copy_only=False)


def _text_times(column: Arrow, role: str, meter: Meter, first_row: int, where: str) -> Arrow:
    trimmed = pc.utf8_trim_whitespace(column)
    blank = pc.is_in(pc.utf8_lower(trimmed), MISSING)
    trimmed = pc.if_else(blank, pa.scalar(None, trimmed.type), trimmed)
    try:
        return trimmed.cast(pa.float64())
    except pa.ArrowInvalid:
        pass
    trimmed = pc.replace_substring_regex(trimmed, _SLASHES, r"\1-\2-\3")
    trimmed = pc.replace_substring_regex(trimmed, _COMMA_FRACTION, r"\1.\2")
    trimmed = pc.replace_substring_regex(trimmed, _UTC_BY_NAME, "Z")
    trimmed = pc.replace_substring_regex(trimmed, _BLANK_BEFORE_ZONE, r"\1\2")
    zoned = pc.match_substring_regex(trimmed, r"\d[T ]\d\d:.*" + _ZONE)
    with_zone = pc.sum(zoned).as_py() or 0
    meter.remarks.zoned[role] += with_zone
    meter.remarks.naive[role] += len(trimmed) - trimmed.null_count - with_zone
    for unit in ("us", "ns"):
        try:
            return _parsed(trimmed, zoned, unit)
        except pa.ArrowInvalid:
            continue
    raise wrong_cell(role, column, _first_unreadable(trimmed, zoned), first_row, where, "invalid_input", _A_TIME)


def _parsed(texts: Arrow, zoned: Arrow, unit: str) -> Arrow:
    """Dates and times, those without a zone as UTC."""
    nothing = pa.scalar(None, texts.type)
    naive = pc.if_else(zoned, nothing, texts).cast(pa.timestamp(unit))
    exact = pc.if_else(zoned, texts, nothing).cast(pa.timestamp(unit, tz="UTC")).cast(pa.timestamp(unit))
    return pc.coalesce(naive, exact)


def _first_unreadable(texts: Arrow, zoned: Arrow) -> int:
    """The first cell that is unlike a column of numbers, where most are numbers, or else no date, found by halves."""
    numeric = pc.match_substring_regex(texts, NUMBER)
    if 2 * (pc.sum(numeric).as_py() or 0) >= len(texts) - texts.null_count:
        return pc.index(numeric, False).as_py()
    low, high = 0, len(texts)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            _parsed(texts[low:middle], zoned[low:middle], "ns")
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def _instants(column: Arrow, role: str) -> Arrow:
    """Milliseconds as int64 if they hold all, else the timestamps in the coarsest unit that does."""
    column = column.cast(pa.timestamp(column.type.unit)) if column.type.tz else column
    try:
        if column.type.unit == "s":
            return column.cast(pa.timestamp("ms")).cast(pa.int64())
        for unit in ("ms", "us"):
            try:
                coarse = column.cast(pa.timestamp(unit))
            except pa.ArrowInvalid as finer:
                if "lose data" not in str(finer):
                    raise
                continue
            return coarse.cast(pa.int64()) if unit == "ms" else coarse
    except pa.ArrowInvalid as invalid:
        raise JobError("invalid_input", f"A time is out of range: {invalid}", pointer=f"/columns/{role}") from invalid
    return column
