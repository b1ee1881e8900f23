"""The roles of columns without names, by their order and by the look of their cells."""

from __future__ import annotations

import re
from collections.abc import Sequence

from worker.ingest.columns import Column, number

_ASIN = re.compile(r"^(B[0-9A-Z]{9}|\d{9}[\dX])$")
_AMAZON_USER = re.compile(r"^A[0-9A-Z]{9,20}$")
_FIRST_SECOND, _LAST_SECOND = 5e8, 4e9  # of computers' calendars: 1985 to 2096
_LARGEST_SCORE = 10.0


def by_position(columns: Sequence[Column]) -> dict[str, Column]:
    """user, item[, rating][, timestamp], of which the ids come first; Amazon's "item, user, rating, time" shows in the
    look of its ids. Dates and fractions are no ids, coordinates no ratings: of Gowalla's "user, time, latitude,
    longitude, place" the place is the item.
    """
    columns = [column for column in columns if column.name]
    ids = [column for column in columns if column.type not in {"datetime", "number"}]
    ids = _without_seconds(ids) if len(ids) > 1 else columns
    if len(ids) < 2:
        return {}
    first, second = ids[0], ids[1]
    if _all_match(first, _ASIN) and _all_match(second, _AMAZON_USER):
        first, second = second, first
    roles = {"user": first, "item": second}
    for column in [column for column in columns if column not in (first, second)][:2]:
        if _is_time(column):
            roles.setdefault("timestamp", column)
        elif "rating" not in roles and _is_rating(column):
            roles["rating"] = column
        elif column.type == "integer":
            roles.setdefault("timestamp", column)
    return roles


def _without_seconds(ids: list[Column]) -> list[Column]:
    """A second column of seconds since 1970 is no id when a later one may be."""
    second, later = ids[1], [column for column in ids[2:] if not _is_score(column)]
    if later and _is_seconds(second) and not any(_is_seconds(column) for column in later):
        return [ids[0], *later]
    return ids


def _values(column: Column) -> list[float]:
    return [number(example) for example in column.examples]


def _is_seconds(column: Column) -> bool:
    return column.type == "integer" and all(
        _FIRST_SECOND <= value / scale < _LAST_SECOND for scale in (_scale(column),) for value in _values(column)
    )


def _scale(column: Column) -> float:
    return 1e3 if max(_values(column), default=0) > 1e11 else 1.0


def _is_score(column: Column) -> bool:
    return all(0 <= value <= _LARGEST_SCORE for value in _values(column))


def _is_time(column: Column) -> bool:
    late = column.type in {"integer", "number"} and not any(value < 1e8 for value in _values(column))
    return column.type == "datetime" or late


def _is_rating(column: Column) -> bool:
    """Whole numbers, of stars or plays, or fractions of a scale up to ten."""
    known = [value for value in _values(column) if value == value]
    if column.type == "integer" or column.type == "boolean":
        return True
    return column.type == "number" and all(abs(value) <= _LARGEST_SCORE for value in known)


def _all_match(column: Column, pattern: re.Pattern[str]) -> bool:
    return bool(column.examples) and all(pattern.match(example) for example in column.examples)
