"""Bring a database to the schema of this code; safe to run from several processes at once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

_LOCK = 7_368_117  # any constant; held while migrating so that two starters do not collide


def config() -> Config:
    """Alembic's configuration, found beside the installed package or in the clone."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).resolve().parents[2] / "migrations"))
    return settings


def upgrade(url: str) -> None:
    """Apply every migration that the database lacks."""
    engine = create_engine(url)
    try:
        with engine.connect() as conn:
            conn.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            conn.commit()
            settings = config()
            settings.attributes["connection"] = conn
            command.upgrade(settings, "head")
            conn.commit()
            conn.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            conn.commit()
    finally:
        engine.dispose()


def current_revision(conn: Connection) -> str | None:
    """The revision the database is at."""
    return MigrationContext.configure(conn).get_current_revision()


def head_revision() -> str | None:
    """The revision this code expects."""
    return ScriptDirectory.from_config(config()).get_current_head()
