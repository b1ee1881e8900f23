"""The catalogue: what the workers announced."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select, tuple_

from app.store.tables import method


def list_methods(
    conn: Connection,
    *,
    kind: str | None = None,
    task: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Methods by kind and name, after the pair `after`; what ingests is not a method a user can ask for."""
    query = select(method).where(method.c.task != "ingest")
    if kind is not None:
        query = query.where(method.c.kind == kind)
    if task is not None:
        query = query.where(method.c.task == task)
    if after is not None:
        query = query.where(tuple_(method.c.kind, method.c.name) > after)
    query = query.order_by(method.c.kind, method.c.name).limit(limit)
    return [dict(row) for row in conn.execute(query).mappings()]


def get_method(conn: Connection, kind: str, name: str) -> dict[str, Any] | None:
    """One method; the ingest of a kind too, since its schema documents the kind's options."""
    row = conn.execute(select(method).where(method.c.kind == kind, method.c.name == name)).mappings()
    found = row.one_or_none()
    return dict(found) if found else None
