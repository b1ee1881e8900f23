"""Bring a database to the schema of this code: `python -m app.store.migrate`, with DISTILLERY_DATABASE_URL set.

It names the owner of the tables (see `app.store.roles`). Safe to run from several processes at once.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy import Connection, create_engine, text

from app.settings import DatabaseSettings

_LOCK = 7_368_117  # any constant; held while migrating so that two starters do not collide
_TURN_S = 0.1


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
            _wait_for_turn(conn)
            settings = config()
            settings.attributes["connection"] = conn
            command.upgrade(settings, "head")
            conn.commit()
            conn.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            conn.commit()
    finally:
        engine.dispose()


def _wait_for_turn(conn: Connection) -> None:
    """Take the lock, by asking again and again: whoever sleeps in a query keeps an index from being finished."""
    while not conn.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}):
        conn.commit()
        time.sleep(_TURN_S)
    conn.commit()


def current_revision(conn: Connection) -> str | None:
    """The revision the database is at."""
    return MigrationContext.configure(conn).get_current_revision()


def head_revision() -> str | None:
    """The revision this code expects."""
    return ScriptDirectory.from_config(config()).get_current_head()


def is_later(revision: str | None) -> bool:
    """Whether a revision comes from a later version: this one does not know it."""
    scripts = ScriptDirectory.from_config(config()).walk_revisions()
    return revision is not None and revision not in {script.revision for script in scripts}


def main() -> None:
    """Upgrade the database that the environment names, and say what it is at."""
    from app import logs  # only here: others who migrate log in their own way

    logs.configure("migrate")
    try:
        settings = DatabaseSettings()  # pyright: ignore[reportCallIssue] - filled from the environment
    except (ValidationError, SettingsError) as error:
        sys.exit(str(error))
    upgrade(settings.database_url)
    structlog.get_logger().info("migrated", revision=head_revision())


if __name__ == "__main__":
    main()
