"""The way to Postgres: connections that were closed meanwhile, and statements that the driver gets at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, Integer, bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DataError, OperationalError

from app.store.database import Prepared, at_once, open_engine

KILL = text("SELECT pg_terminate_backend(:pid, 10000)")
DIVIDE = Prepared(
    select((10 / bindparam("by", type_=Integer)).label("result"), bindparam("data", type_=JSONB).label("data"))
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url, pool=1)
    yield opened
    opened.dispose()


def pid_of(engine: Engine) -> int:
    with engine.connect() as conn:
        return conn.scalars(text("SELECT pg_backend_pid()")).one()


def test_connection_when_postgres_closed_it_then_the_next_user_gets_another(engine: Engine, database_url: str) -> None:
    closed, other = pid_of(engine), open_engine(database_url)
    with other.connect() as conn:
        assert conn.scalar(KILL, {"pid": closed})
    assert pid_of(engine) not in (0, closed)
    other.dispose()


def test_connection_when_it_holds_a_message_and_is_alive_then_is_kept(engine: Engine, database_url: str) -> None:
    with engine.connect() as conn:
        conn.execute(text("LISTEN something"))
        conn.commit()
    kept, other = pid_of(engine), open_engine(database_url)
    with other.begin() as conn:
        conn.execute(text("NOTIFY something"))
    assert pid_of(engine) == kept
    other.dispose()


def test_statement_when_it_takes_longer_than_it_may_then_ends(database_url: str) -> None:
    hasty = open_engine(database_url, statement_s=0.1)
    with pytest.raises(OperationalError), hasty.connect() as conn:
        conn.execute(text("SELECT pg_sleep(20)"))
    hasty.dispose()


def test_prepared_when_asked_then_gives_the_row_in_the_transaction_of_the_connection(engine: Engine) -> None:
    with engine.begin() as conn:
        conn.execute(text("SET LOCAL statement_timeout = 5000"))
        assert DIVIDE.one(conn, {"by": 5, "data": {"a": [1, None]}}) == {"result": 2, "data": {"a": [1, None]}}
    with at_once(engine) as conn:
        assert DIVIDE.one(conn, {"by": 2, "data": None}) == {"result": 5, "data": None}


def test_prepared_when_postgres_refuses_then_the_error_is_sqlalchemys_and_says_no_value(engine: Engine) -> None:
    with pytest.raises(DataError) as refused, engine.begin() as conn:
        DIVIDE.one(conn, {"by": 0, "data": {"secret": "value"}})
    assert "value" not in str(refused.value)
    with engine.begin() as conn:
        assert DIVIDE.one(conn, {"by": 5, "data": None}) is not None


def test_prepared_when_the_connection_dies_then_it_is_given_up(engine: Engine, database_url: str) -> None:
    other = open_engine(database_url)
    with engine.connect() as conn:
        pid = conn.scalars(text("SELECT pg_backend_pid()")).one()
        with other.connect() as killer:
            killer.scalar(KILL, {"pid": pid})
        with pytest.raises(OperationalError) as lost:
            DIVIDE.one(conn, {"by": 1, "data": None})
    assert lost.value.connection_invalidated
    assert pid_of(engine) != pid
    other.dispose()
