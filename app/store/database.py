"""The one way to Postgres: a synchronous SQLAlchemy engine over psycopg 3."""

from __future__ import annotations

import select
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from sqlalchemy import ClauseElement, Connection, Engine, create_engine, event, text
from sqlalchemy.dialects.postgresql.psycopg import dialect
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.sql.compiler import SQLCompiler


def open_engine(url: str, *, pool: int = 5, silence_s: float = 0.0, statement_s: float = 0.0) -> Engine:
    """An engine whose connections fail quickly when Postgres is away and are checked before use.

    `silence_s`: Postgres ends a transaction in which nothing was said for so long (0: never), because a process that
    was stopped, or a machine that was lost, in the middle of one would keep its locks on jobs, lease or no lease.
    `statement_s`: it ends a statement that takes longer (0: never), for whoever waits for its answer has gone by then.
    """
    engine = create_engine(
        url,
        pool_size=pool,
        max_overflow=pool,
        pool_timeout=10,
        hide_parameters=True,  # an error's text goes into logs; what users stored does not
        connect_args={
            "connect_timeout": 5,
            "application_name": "distillery",
            # A plan is kept with its connection: one made while a table was empty would go through all of it later.
            "options": f"-c enable_seqscan=off -c idle_in_transaction_session_timeout={silence_s:.3f}s "
            f"-c statement_timeout={statement_s:.3f}s",
        },
    )
    event.listen(engine, "checkout", _check)
    return engine


def _check(connection: psycopg.Connection, *_: object) -> None:
    """Let the pool replace a connection that Postgres has closed.

    Then there is something to read on it, the end; a connection on which nothing came is not asked, for that would be
    one more trip to Postgres before every use.
    """
    if connection.closed or (_has_news(connection) and not _answers(connection)):
        raise DisconnectionError


def _has_news(connection: psycopg.Connection) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _answers(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("")
        connection.rollback()
    except psycopg.Error:
        return False
    return True


@contextmanager
def at_once(engine: Engine) -> Generator[Connection]:
    """A connection on which every statement is a transaction of its own, so that one costs one trip to Postgres."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        yield conn


class Prepared:
    """A statement that is compiled once and given to the driver itself, for the few that every job needs.

    SQLAlchemy's way through `execute` takes three times as long as Postgres does. It runs in the transaction of the
    connection like any other; errors are SQLAlchemy's, too. Values that are dicts become jsonb.
    """

    def __init__(self, statement: ClauseElement) -> None:
        compiled = cast(SQLCompiler, statement.compile(dialect=dialect()))
        self._sql = str(compiled).encode()
        self._constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}

    def one(self, conn: Connection, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The row, or None when there is none."""
        return next(iter(self.all(conn, values)), None)

    def all(self, conn: Connection, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Every row."""
        given = {name: _adapted(value) for name, value in values.items()}
        driver: psycopg.Connection = conn.connection.driver_connection  # pyright: ignore[reportAssignmentType]
        try:
            with driver.cursor(row_factory=dict_row) as cursor:
                return cursor.execute(self._sql, {**self._constants, **given}, prepare=True).fetchall()
        except psycopg.Error as error:
            if driver.closed:
                conn.invalidate(error)
            raise DBAPIError.instance(
                None, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=driver.closed
            ) from error


def _adapted(value: object) -> object:
    return Jsonb(value) if isinstance(value, dict) else value


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
