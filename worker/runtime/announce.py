"""Tell the database which methods this worker can run."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func
from sqlalchemy.dialects.postgresql import insert

from app.store.tables import method


def announce(conn: Connection, rows: list[dict[str, Any]]) -> None:
    """Write the catalogue; a newer version of a method replaces an older one, never the other way round."""
    for row in rows:
        statement = insert(method).values(**row)
        conn.execute(
            statement.on_conflict_do_update(
                index_elements=["kind", "name"],
                set_={**{name: statement.excluded[name] for name in row}, "announced_at": func.now()},
                where=method.c.version <= statement.excluded.version,
            )
        )
