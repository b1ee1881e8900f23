"""Alembic's entry: runs the migrations on the connection it is given, or on DISTILLERY_DATABASE_URL."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, create_engine

from app.store.tables import metadata


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(os.environ["DISTILLERY_DATABASE_URL"]).connect() as opened:
        run(opened)
        opened.commit()
