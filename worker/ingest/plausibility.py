"""Times that are legal numbers and yet unlikely to be times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.ingest.table import Table

_DAY = 86_400


def refuse_hours(times: NDArray[Any], table: Table, asked: Mapping[str, str | int]) -> None:
    """Refuse hours or seconds of the day as times when the date stands in another column, unless they were asked for:
    they order nothing.
    """
    chosen = table.columns["timestamp"]
    dates = [column for column in table.detected.columns if column.type == "datetime" and not column.role]
    if not dates or "timestamp" in asked or not len(times) or times.min() < 0 or times.max() >= _DAY:
        return
    date = dates[0].name
    raise JobError(
        "invalid_input",
        f"The column {chosen.name!r} of {table.name} holds times of the day ({times.min()} to {times.max()}) and "
        f"{date!r} the date: neither alone says when.",
        hint=f'Upload one column of both, as in 2020-01-31 18:00:00. Or choose: columns={{"timestamp": "{date}"}} goes '
        f"by the date alone.",
        pointer="/columns/timestamp",
    )


def of_times(times: NDArray[Any]) -> list[str]:
    """Warnings about complete times (n,)."""
    if not len(times):
        return []
    low, high = int(times.min()), int(times.max())
    if low < 0:
        count = int((times < 0).sum())
        return [
            f"{count:,} of {len(times):,} times are negative (from {low:,}): is this the time column? "
            'columns={"timestamp": ""} leaves it out.'
        ]
    if high - low < (_DAY if high < 1e11 else _DAY * 1_000):
        return [
            f"All times lie between {low:,} and {high:,}, which is less than a day: is this the time column? "
            'columns={"timestamp": ""} leaves it out.'
        ]
    return []
