"""Real Postgres and real Redis for tests: one private pair per test process, one fresh database per test."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import redis

from app.embedded.postgres import OWNER, SUPERUSER, Postgres
from app.embedded.redis import Redis

_TEMPLATE = "migrated"


class Engines:
    """A Postgres (no fsync unless asked for) and a Redis in a temporary folder; `close` stops both and removes it.

    They die with this process, also when it is killed. Make it in the main thread.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="distillery-test-"))
        if os.geteuid() == 0:
            self.folder.chmod(0o711)  # as root Postgres runs as another account, which must pass through
        self.postgres = Postgres(
            self.folder / "pg",
            password="owner",
            superuser_password="superuser",
            copies=self.folder / "engines",
            fsync=fsync,
        )
        self.redis = Redis(self.folder / "redis")
        self._numbers = itertools.count(1)
        self._template_made = False

    def start(self) -> None:
        """Make the cluster and start both."""
        self.postgres.initialise()
        self.postgres.start(self.folder / "postgres.log")
        self.redis.start(self.folder / "redis.log")

    def close(self) -> None:
        """Stop both and remove everything."""
        self.redis.stop()
        self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def broker_url(self) -> str:
        """Celery's address of the Redis."""
        return self.redis.broker_url

    def flush(self) -> None:
        """Empty the Redis."""
        with redis.Redis.from_url(self.redis.client_url) as client:
            client.flushall()

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """The SQLAlchemy address of a fresh database, dropped afterwards; empty unless `migrated`."""
        name = f"test_{next(self._numbers)}"
        self.create_database(name, self._template() if migrated else "template1")
        try:
            yield self.postgres.url(name)
        finally:
            self.drop_database(name)

    def create_database(self, name: str, template: str = "template1") -> None:
        """Make a database as a copy of another."""
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER "{OWNER}"')

    def drop_database(self, name: str) -> None:
        """Drop a database, ending the sessions in it."""
        self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _template(self) -> str:
        """The name of a database with our schema, made by the first who asks."""
        if not self._template_made:
            from app.store.migrate import upgrade

            self.create_database(_TEMPLATE)
            upgrade(self.postgres.url(_TEMPLATE))
            self._template_made = True
        return _TEMPLATE

    def _execute(self, sql: str) -> None:
        where = psycopg.conninfo.make_conninfo(
            host=str(self.postgres.sockets), user=SUPERUSER, password="superuser", dbname="postgres"
        )
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(sql.encode())
