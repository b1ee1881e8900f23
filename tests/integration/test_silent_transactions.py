"""A process that falls silent in a transaction does not keep its locks on a job."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.store.database import allow_silence, open_engine


def test_lock_when_its_holder_falls_silent_then_is_given_up(database_url: str):
    silent, other = open_engine(database_url, silence_s=0.3), open_engine(database_url)
    with other.begin() as conn:
        conn.execute(text("INSERT INTO tenant (id, name) VALUES ('ten_a', 'a')"))
    lock = text("SELECT id FROM tenant WHERE id = 'ten_a' FOR UPDATE")
    with silent.connect() as held:
        held.execute(lock)
        begun = time.monotonic()
        with other.begin() as conn:
            conn.execute(lock)
        assert 0.2 < time.monotonic() - begun < 5.0
        with pytest.raises(DBAPIError) as ended:
            held.execute(lock)
        assert ended.value.connection_invalidated
        held.invalidate()
    with silent.begin() as conn:  # one that was checked before use
        allow_silence(conn)
        time.sleep(0.6)
        assert conn.scalar(text("SELECT count(*) FROM tenant")) == 1
    silent.dispose()
    other.dispose()
