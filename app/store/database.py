"""The one way to Postgres: a synchronous SQLAlchemy engine over psycopg 3."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection, Engine, create_engine, text


def open_engine(url: str, *, pool: int = 5, silence_s: float = 0.0) -> Engine:
    """An engine whose connections fail quickly when Postgres is away and are checked before use.

    `silence_s`: Postgres ends a transaction in which nothing was said for so long (0: never), because a process that
    was stopped, or a machine that was lost, in the middle of one would keep its locks on jobs, lease or no lease.
    """
    return create_engine(
        url,
        pool_size=pool,
        max_overflow=pool,
        pool_pre_ping=True,
        pool_timeout=10,
        hide_parameters=True,  # an error's text goes into logs; what users stored does not
        connect_args={
            "connect_timeout": 5,
            "application_name": "distillery",
            "options": f"-c idle_in_transaction_session_timeout={silence_s:.3f}s" if silence_s else "",
        },
    )


def allow_silence(conn: Connection) -> None:
    """Let this transaction, which locks no job, do slow things between its statements."""
    conn.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


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
