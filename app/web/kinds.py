"""The kinds of data that workers can read now, as they describe themselves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from app.store.tables import method


def kinds_of(conn: Connection) -> list[dict[str, Any]]:
    """Each kind with what its `ingest` says of it, and what its rows are called."""
    rows = conn.execute(select(method).where(method.c.task == "ingest").order_by(method.c.kind)).mappings()
    return [{"name": row["kind"], "about": row["summary"], "units": row["cost"].get("units", "")} for row in rows]
