"""Postgres and Redis as production has them: over TCP, with passwords, in a cluster of their own."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis

from app.embedded.errors import EmbeddedError
from app.embedded.postgres import OWNER, SUPERUSER, Postgres
from app.embedded.redis import Redis
from tests.engines import Engines

PASSWORD = "brokerpassword"


class TcpPostgres(Postgres):
    """The cluster of `Postgres` on a port of 127.0.0.1 besides its socket; passwords by SCRAM on both."""

    port = 0

    @property
    def env(self) -> dict[str, str]:
        return {**super().env, "PGPORT": str(self.port)}  # read by the server and by its tools

    def command(self) -> list[str]:
        return [*super().command(), "-c", "listen_addresses=127.0.0.1"]

    def url(self, database: str = "distillery", *, role: str = OWNER) -> str:
        return f"postgresql+psycopg://{role}:{quote(self._passwords[role], safe='')}@127.0.0.1:{self.port}/{database}"


class TcpRedis(Redis):
    """A Redis on a port of 127.0.0.1 with a password."""

    port = 0

    @property
    def broker_url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    @property
    def client_url(self) -> str:
        return self.broker_url

    @property
    def socket_url(self) -> str:
        """Its address on this machine, which no other Redis has."""
        return f"unix://:{PASSWORD}@{self.socket}"

    def command(self) -> list[str]:
        words = super().command()
        words[words.index("--port") + 1] = str(self.port)
        return [*words, "--bind", "127.0.0.1", "--requirepass", PASSWORD]

    def answers(self) -> bool:
        try:  # by its socket: on the port there may be the Redis of another test process
            with redis.Redis.from_url(self.socket_url, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class TcpEngines(Engines):
    """The pair of `Engines`, reached by address and password only."""

    def __init__(self) -> None:
        super().__init__()
        folder: Path = self.folder
        self.postgres = TcpPostgres(
            folder / "pg", password="owner", superuser_password="superuser", copies=folder / "engines", fsync=False
        )
        self.redis = TcpRedis(folder / "redis")

    def start(self) -> None:
        """As `Engines.start`; a port that another process takes between its choice and its use is given up."""
        for left in range(4, -1, -1):
            self.postgres.port, self.redis.port = free_port(), free_port()
            try:
                super().start()
                return
            except EmbeddedError:
                self.postgres.stop()
                if not left:
                    raise

    def _execute(self, sql: str) -> None:
        where = self.postgres.url("postgres", role=SUPERUSER).replace("+psycopg", "")
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(sql.encode())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
