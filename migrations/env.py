"""Alembic's entry: runs the migrations on the connection it is given, or on DISTILLERY_DATABASE_URL.

Workers go on while a database is migrated. So a migration adds and never takes away, and it locks no more than one
table at a time for no more than a moment: indexes are built CONCURRENTLY, in an `autocommit_block`.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine

from app.settings import DatabaseSettings
from app.store.tables import metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=metadata, compare_type=True, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    settings = DatabaseSettings()  # pyright: ignore[reportCallIssue] - filled from the environment
    with create_engine(settings.database_url).connect() as opened:
        run(opened)
        opened.commit()
