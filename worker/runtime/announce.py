"""Tell the database what this worker can do."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func
from sqlalchemy.dialects.postgresql import insert

from app.settings import Settings
from app.store.tables import method
from worker.runtime.template import Offer


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


def capabilities(offer: Offer, settings: Settings) -> dict[str, Any]:
    """What the row of this worker says: its methods as `kind/name`, its devices, and kinds that lack a package."""
    named = [name.strip() for name in settings.devices.split(",") if name.strip()]
    usable = named or [name for name in offer.devices if settings.device in ("auto", name)]
    return {
        "methods": [f"{row['kind']}/{row['name']}" for row in offer.methods],
        "devices": usable,
        "unavailable": offer.unavailable,
    }
