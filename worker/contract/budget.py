"""How large a summary may be: one parameter, `budget`, that every distil and select method takes."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic.config import JsonDict

from worker.contract.errors import JobError

PATTERN = r"^\s*(\d+(?:\.\d+)?)\s*(%|B|kB|MB|GB)?\s*$"
_MOST = 1e15  # more than anything there is; far more digits would not even be a number
_SCHEMA: JsonDict = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": PATTERN}]}
OR_NONE: dict[str, Any] = {
    "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": PATTERN}, {"type": "null"}]
}
"""Extra of the JSON Schema of a `Budget | None`, in one list, which is what the API reads: for sizes of many forms."""
_BYTES = {"B": 1, "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}


def _check(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JSON has one kind of number: 1e2 and 100.0 are 100
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('budget is a number of units (500), a share ("1%") or a size in bytes ("150kB")')
    if isinstance(value, str) and not re.match(PATTERN, value):
        raise ValueError('budget is a number of units ("500"), a share ("1%") or a size in bytes ("150kB")')
    return value


Budget = Annotated[
    int | str,
    BeforeValidator(_check),
    Field(
        description='Size of the summary: units of the kind (500), a share ("1%") or bytes ("150kB").',
        json_schema_extra=_SCHEMA,
    ),
]


def fills_bytes(description: str, *, only: dict[str, str] | None = None) -> dict[str, Any]:
    """Arguments of the `Field` of a budget whose share ("2%") is one of the bytes of the source: always, or `only`
    where other parameters have these values. The API, which knows units alone, then leaves a share to the method."""
    return {"description": description, "json_schema_extra": {**_SCHEMA, "share_of_bytes": only or {}}}


def resolve(
    budget: int | str, *, total_units: int, bytes_per_unit: float, lowest: int = 1, highest: int | None = None
) -> int:
    """Turn a budget into a number of units in [lowest, highest].

    `total_units`: units in the training part; `bytes_per_unit`: bytes one unit of the delivered summary takes.
    Raises `JobError` `budget_too_small` or `budget_too_large` with the bounds that hold for this dataset.
    """
    units = _units(budget, total_units, bytes_per_unit)
    ceiling = total_units - 1 if highest is None else min(highest, total_units - 1)
    if units < lowest:
        raise JobError(
            "budget_too_small",
            f"The budget {budget} comes to {units} units; the least for this dataset is {lowest}.",
            hint=f"Ask for between {lowest} and {ceiling} units.",
            pointer="/params/budget",
        )
    if units > ceiling:
        raise JobError(
            "budget_too_large",
            f"The budget {budget} comes to {units} units; the most for this dataset is {ceiling}.",
            hint=f"Ask for between {lowest} and {ceiling} units.",
            pointer="/params/budget",
        )
    return units


def resolve_bytes(budget: int | str, *, total_bytes: int, lowest: int = 1) -> int | None:
    """Turn a budget into bytes, for methods that fill them exactly: a share is then one of the bytes of the source.

    None for a number of units. Raises `JobError` `budget_too_small` below `lowest`, `budget_too_large` where nothing
    would be saved.
    """
    match = re.match(PATTERN, budget) if isinstance(budget, str) else None
    if match is None or match[2] is None:
        return None
    number = min(float(match[1]), _MOST)
    size = int(total_bytes * number / 100) if match[2] == "%" else int(number * _BYTES[match[2]])
    if lowest <= size < total_bytes:
        return size
    small = size < lowest
    raise JobError(
        "budget_too_small" if small else "budget_too_large",
        f"The budget {budget} comes to {size} bytes; "
        + (f"one unit takes {lowest}." if small else f"all of the source takes {total_bytes}."),
        hint=f'Ask for between "{lowest}B" and "{total_bytes - 1}B".',
        pointer="/params/budget",
    )


def _units(budget: int | str, total_units: int, bytes_per_unit: float) -> int:
    if isinstance(budget, int):
        return budget
    match = re.match(PATTERN, budget)
    if match is None:
        raise JobError("invalid_input", f"{budget!r} is not a budget.", pointer="/params/budget")
    number, unit = min(float(match[1]), _MOST), match[2]
    if unit == "%":
        return round(total_units * number / 100)
    if unit in _BYTES:
        return int(number * _BYTES[unit] / bytes_per_unit)
    return int(number)
