"""Which column is the user, the item, the rating, the time: by the names people use, or by the user's own map."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.contract.errors import JobError

NAMES: dict[str, tuple[str, ...]] = {
    "user": (
        "user", "userid", "user_id", "uid", "reviewerid", "reviewer_id", "profile", "profile_id", "customer_id",
        "customerid", "visitorid", "visitor_id", "session_id",
    ),
    "item": (
        "item", "itemid", "item_id", "iid", "movieid", "movie_id", "asin", "parent_asin", "business_id", "sid",
        "product_id", "productid", "article_id", "book_id", "track_id", "song_id",
    ),
    "rating": ("rating", "overall", "stars", "score"),
    "timestamp": ("timestamp", "time", "unixreviewtime", "ts", "datetime", "event_time", "date"),
    "text": ("reviewtext", "text", "review_body", "review_text"),
}  # fmt: skip
_ASIN = re.compile(r"^(B[0-9A-Z]{9}|\d{9}[\dX])$")
_AMAZON_USER = re.compile(r"^A[0-9A-Z]{9,20}$")


@dataclass
class Column:
    """A column as seen in the sample: `type` is integer, number, datetime, text or nested.

    `numeric`: wanted as float64 whatever its role; a missing cell is null or NaN then.
    """

    name: str
    index: int
    type: str
    examples: list[str] = field(default_factory=list)
    role: str = ""
    numeric: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON for the user."""
        return {
            "name": self.name,
            "index": self.index,
            "type": self.type,
            "role": self.role,
            "examples": self.examples[:3],
        }


def plain_name(name: str) -> str:
    """A column name as compared with the lists: lower case, without quotes, types or odd separators."""
    return re.sub(r"[\s\-.]+", "_", name.strip().strip("\"'").split(":")[0].strip()).casefold()


def number(cell: str) -> float:
    """A cell as a number, NaN when it is none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def role_of_name(name: str) -> str:
    """The role whose list holds this name, or ""."""
    plain = plain_name(name)
    return next((role for role, names in NAMES.items() if plain in names), "")


def assign_roles(
    columns: Sequence[Column],
    asked: Mapping[str, str | int],
    *,
    header: bool,
    required: Sequence[str],
    where: str,
    names: Mapping[str, Sequence[str]] = NAMES,
) -> dict[str, Column]:
    """Role to column: what the user asked for, then known names, then (without a header) the customary positions.

    `names`: the names every role is known by; only interactions have customary positions.

    Raises `JobError` `unknown_column` with the columns seen and the nearest match; `pointer` is /columns/<role>.
    """
    roles: dict[str, Column] = {}
    for role, wanted in asked.items():
        if wanted != "":
            roles[role] = _find(columns, role, wanted, where, names)
    for role, column in _guess(columns, header, names).items():
        taken = any(column is other for other in roles.values())
        if role not in asked and not taken:
            roles[role] = column
    for role in required:
        if role not in roles:
            raise _not_found(columns, role, where, names)
    for column in columns:
        column.role = next((role for role, chosen in roles.items() if chosen is column), "")
    return roles


def _guess(columns: Sequence[Column], header: bool, names: Mapping[str, Sequence[str]]) -> dict[str, Column]:
    if not header:
        return _by_position(columns) if names is NAMES else {}
    found: dict[str, Column] = {}
    by_name = {plain_name(column.name): column for column in reversed(columns) if column.type != "nested"}
    for role, known in names.items():
        match = next((by_name[name] for name in known if name in by_name), None)
        if match is not None:
            found[role] = match
    return found


def _by_position(columns: Sequence[Column]) -> dict[str, Column]:
    """user, item[, rating][, time]; Amazon's "item,user,rating,time" is told by the look of its ids."""
    if len(columns) < 2:
        return {}
    first, second, rest = columns[0], columns[1], list(columns[2:4])
    if _all_match(first, _ASIN) and _all_match(second, _AMAZON_USER):
        first, second = second, first
    roles = {"user": first, "item": second}
    for column in rest:
        numeric = column.type in {"integer", "number"}
        late = numeric and not any(number(example) < 1e8 for example in column.examples)
        if (column.type == "datetime" or late) and "timestamp" not in roles:
            roles["timestamp"] = column
        elif numeric and "rating" not in roles:
            roles["rating"] = column
        elif numeric:
            roles.setdefault("timestamp", column)
    return roles


def _all_match(column: Column, pattern: re.Pattern[str]) -> bool:
    return bool(column.examples) and all(pattern.match(example) for example in column.examples)


def _find(
    columns: Sequence[Column], role: str, wanted: str | int, where: str, names: Mapping[str, Sequence[str]]
) -> Column:
    if isinstance(wanted, int):
        if 0 <= wanted < len(columns):
            return columns[wanted]
    else:
        for match in (str.__eq__, lambda a, b: plain_name(a) == plain_name(b)):
            for column in columns:
                if match(column.name, wanted):
                    return column
        if wanted.isdigit() and int(wanted) < len(columns):
            return columns[int(wanted)]
    raise _not_found(columns, role, where, names, wanted)


def _not_found(
    columns: Sequence[Column], role: str, where: str, names: Mapping[str, Sequence[str]], wanted: str | int = ""
) -> JobError:
    seen = [column.name for column in columns]
    listed = ", ".join(repr(name) for name in seen[:30]) + (f" and {len(seen) - 30} more" if len(seen) > 30 else "")
    plain = {plain_name(name): name for name in seen}
    targets = [plain_name(wanted)] if isinstance(wanted, str) and wanted else names.get(role, (role,))
    scored = [
        (difflib.SequenceMatcher(None, target, name).ratio(), original)
        for target in targets
        for name, original in list(plain.items())[:200]
    ]
    best = max(scored, default=(0.0, ""))
    near = f" Nearest match: {best[1]!r}." if best[0] > 0.5 else ""
    asked = f" {wanted!r}" if wanted != "" else ""
    example = best[1] if near or not seen else seen[0]
    return JobError(
        "unknown_column",
        f"No {role} column{asked} in {where}. Columns seen: {listed}.{near}",
        hint=f'Name it in the column map, as in columns={{"{role}": "{example}"}}.',
        pointer=f"/columns/{role}",
    )
