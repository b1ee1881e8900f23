from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from app.embedded.errors import EmbeddedError
from app.embedded.redis import Redis


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="dst-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def server(folder: Path) -> Iterator[Redis]:
    made = Redis(folder / "redis")
    made.start(folder / "log")
    yield made
    made.stop()


def test_start_when_new_then_private_socket_and_no_tcp(server: Redis) -> None:
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    with redis.Redis.from_url(server.client_url) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_contents_when_stopped_and_started_then_still_there(server: Redis, folder: Path) -> None:
    with redis.Redis.from_url(server.client_url) as client:
        client.rpush("queue", "hint")
    server.stop()
    server.start(folder / "log")
    with redis.Redis.from_url(server.client_url) as client:
        assert client.lrange("queue", 0, -1) == [b"hint"]


def test_start_when_killed_then_back_and_at_most_a_second_lost(server: Redis, folder: Path) -> None:
    with redis.Redis.from_url(server.client_url) as client:
        client.set("old", "1")
        time.sleep(1.2)  # appendfsync everysec
    server.kill()
    assert server.socket.exists()  # a stale socket must not be in the way
    server.start(folder / "log")
    with redis.Redis.from_url(server.client_url) as client:
        assert client.get("old") == b"1"


def test_broker_url_when_celery_publishes_then_the_hint_lies_in_the_queue(server: Redis) -> None:
    app = Celery(broker=server.broker_url)
    with app.connection_for_write() as connection:
        app.send_task("hint", args=["job_1"], queue="cpu", connection=connection)
    with redis.Redis.from_url(server.client_url) as client:
        assert client.llen("cpu") == 1


def test_set_aside_contents_when_file_is_broken_then_starts_empty(server: Redis, folder: Path) -> None:
    server.stop()
    (server.folder / "appendonly.aof").write_bytes(b"*2\r\nthis is no command\r\n" * 9)
    with pytest.raises(EmbeddedError, match="Bad file format"):
        server.start(folder / "log")
    aside = server.set_aside_contents()
    assert aside is not None
    assert aside.exists()
    server.start(folder / "log")
    assert server.answers()


def test_program_when_named_one_cannot_be_run_then_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLERY_REDIS_SERVER", str(folder / "none"))
    with pytest.raises(EmbeddedError, match="no redis-server"):
        Redis(folder / "redis")


def test_socket_when_home_path_is_long_then_lies_in_a_short_private_folder(folder: Path) -> None:
    deep = folder / ("long" * 30)
    deep.mkdir()
    server = Redis(deep / "redis")
    server.start(folder / "log")
    try:
        assert server.answers()
        assert len(os.fsencode(server.socket)) < 108
    finally:
        server.stop()
        shutil.rmtree(server.socket.parent)
