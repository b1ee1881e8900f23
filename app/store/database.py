"""The one way to Postgres: a synchronous SQLAlchemy engine over psycopg 3."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection, Engine, create_engine, text


def open_engine(url: str, *, pool: int = 5) -> Engine:
    """An engine whose connections fail quickly when Postgres is away and are checked before use."""
    return create_engine(
        url,
        pool_size=pool,
        max_overflow=pool,
        pool_pre_ping=True,
        pool_timeout=10,
        hide_parameters=True,  # an error's text goes into logs; what users stored does not
        connect_args={"connect_timeout": 5, "application_name": "distillery"},
    )


def notify(conn: Connection, channel: str, payload: str) -> None:
    """Send a NOTIFY with this transaction: listeners hear it when, and only if, it commits."""
    conn.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload})


@contextmanager
def listening(engine: Engine, *channels: str) -> Generator[psycopg.Connection]:
    """A connection of its own that LISTENs; read it with `connection.notifies(timeout=...)`."""
    address = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = psycopg.connect(address, autocommit=True, connect_timeout=5)
    try:
        for channel in channels:
            connection.execute(f'LISTEN "{channel}"'.encode())
        yield connection
    finally:
        connection.close()
