"""A column of a table: as a file shows it, and as it is wanted by whoever reads the file."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from worker.contract.errors import JobError
from worker.contract.text import storable

Content = Literal["id", "split", "category", "number", "feature", "label", "time", "text", "vector"]
"""What a column holds, and so how its cells are converted (`worker.ingest.values`)."""
DESCRIBING = frozenset({"integer", "number", "boolean", "text"})
"""Types of columns that can describe something."""
COUNTED = frozenset({"integer", "number", "boolean"})
"""Types of columns that can be read as numbers."""
NUMERIC: frozenset[Content] = frozenset({"number", "feature", "label"})


_UNIT = re.compile(r"\s*(\([^)]*\)|\[[^\]]*\])\s*$")


@dataclass
class Column:
    """A column as seen in the sample: `type` is integer, number, boolean, datetime, text or nested; `role`: what it
    was taken for, "" while it is not used; `constant`: what every cell holds, of a column that the name of the file's
    folder says, as in date=2024-01-01/.
    """

    name: str
    index: int
    type: str
    examples: list[str] = field(default_factory=list[str])
    role: str = ""
    constant: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON for the user."""
        return {
            "name": storable(self.name),
            "index": self.index,
            "type": self.type,
            "role": self.role,
            "examples": [storable(example) for example in self.examples[:3]],
        }


@dataclass(frozen=True)
class Wanted:
    """A column to be read: `name` in the batches, what it holds, and whether nothing can be read without it."""

    name: str
    column: Column
    content: Content
    required: bool = False


def plain_name(name: str) -> str:
    """A column name as compared with the known ones: lower case, without quotes, types, units or odd separators."""
    plain = name.strip().strip("\"'").split(":")[0]
    return re.sub(r"[\s\-.]+", "_", _UNIT.sub("", plain).strip()).casefold()


def number(cell: str) -> float:
    """A cell as a number, NaN when it is none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def find(columns: Sequence[Column], wanted: str | int) -> Column | None:
    """The column of this name, exactly or nearly, or at this position from 0; None where there is none."""
    if isinstance(wanted, str):
        for same in (str.__eq__, lambda a, b: plain_name(a) == plain_name(b)):
            for column in columns:
                if same(column.name, wanted):
                    return column
    if isinstance(wanted, int) or wanted.isdigit():
        return columns[int(wanted)] if 0 <= int(wanted) < len(columns) else None
    return None


def not_found(
    columns: Sequence[Column],
    role: str,
    where: str,
    names: Sequence[str],
    wanted: str | int = "",
    taken: Collection[int] = (),
) -> JobError:
    """The refusal of a table without a column: says those seen, and the nearest match to what was asked for, or else
    to the `names` that the role is known by. `taken`: places of columns that have another role.
    """
    free = [column.name for column in columns if column.index not in taken and column.type != "nested"]
    seen = [column.name for column in columns]
    listed = ", ".join(repr(name) for name in seen[:30]) + (f" and {len(seen) - 30} more" if len(seen) > 30 else "")
    plain = {plain_name(name): name for name in free}
    targets = [plain_name(wanted)] if isinstance(wanted, str) and wanted else names or (role,)
    scored = [
        (difflib.SequenceMatcher(None, target, name).ratio(), original)
        for target in targets
        for name, original in list(plain.items())[:200]
    ]
    best = max(scored, default=(0.0, ""))
    near = f" Nearest match: {best[1]!r}." if best[0] > 0.5 else ""
    asked = f" {wanted!r}" if wanted != "" else ""
    example = best[1] if near or not free else free[0]
    example = example or str(next((column.index for column in columns if not column.name), 0))
    return JobError(
        "unknown_column",
        f"No {role} column{asked} in {where}. Columns seen: {listed}.{near}",
        hint=f'Name it in the column map, as in columns={{"{role}": "{example}"}}.'
        if free
        else f"Upload a table that has a column for the {role}.",
        pointer=f"/columns/{role}",
    )


def holds_lists(column: Column, role: str, where: str) -> JobError:
    """The refusal of a column with several values in a cell."""
    name = column.name
    return JobError(
        "unsupported",
        f"The column {name!r} of {where} is nested: it holds lists or objects, not one value a row.",
        hint=f"Write a row for each value, in pandas `df.explode({name!r})`, or choose another column; a value inside "
        f"an object is named with a point, as in {role}={name}.id.",
        pointer=f"/columns/{role}",
    )
