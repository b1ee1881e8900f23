"""Lists by time: newest first, page after page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import FromClause, Select, literal, tuple_

After = tuple[datetime, str]
"""The row that a page ended with: when it was made, and its id."""


def newest_first(
    query: Select[Any], table: FromClause, *, after: After | None, created_after: datetime | None = None, limit: int
) -> Select[Any]:
    """The rows of `table` that are older than `after` and, if it is given, younger than `created_after`."""
    created_at, row_id = table.c.created_at, table.c.id
    if created_after is not None:
        query = query.where(created_at > literal(created_after, created_at.type))
    if after is not None:
        query = query.where(tuple_(created_at, row_id) < tuple_(literal(after[0], created_at.type), literal(after[1])))
    return query.order_by(created_at.desc(), row_id.desc()).limit(limit)
