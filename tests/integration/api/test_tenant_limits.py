"""What a tenant may take of a process, whichever of its keys ask: requests a second, and requests open at once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

from app.api.token_buckets import _ANSWER_S, LocalBuckets, SharedBuckets
from app.main import create_app
from tests.engines import Engines
from tests.integration.api.conftest import Api, announce, file_settings, new_tenant
from tests.stated import StatingClient

NOWHERE = "redis+socket:///nowhere/redis.sock"


@contextmanager
def limited(engines: Engines, folder: Path, **changes: Any) -> Iterator[Api]:
    """An API with these limits, seen by one key."""
    with engines.database() as url:
        settings = file_settings(url, folder, **changes)
        engine: Engine = create_engine(url)
        announce(engine)
        with StatingClient(create_app(settings), raise_server_exceptions=False) as client:
            yield new_tenant(client, engine, settings)
        engine.dispose()


def statuses(api: Api, count: int) -> list[int]:
    return [api.get("/v1/me").status_code for _ in range(count)]


async def ready(buckets: SharedBuckets) -> None:
    """Until Redis is asked."""
    give_up = time.monotonic() + 10
    while buckets._script is None:
        await buckets.take("warm up")
        await asyncio.sleep(0.01)
        assert time.monotonic() < give_up


def test_tenant_when_it_asks_too_often_then_429_with_what_it_needs_to_know(engines: Engines, tmp_path: Path) -> None:
    with limited(engines, tmp_path, rate_limit_per_s=0.5, rate_limit_burst=5) as api:
        first = api.get("/v1/me")
        assert first.headers["ratelimit-policy"] == '"tenant";q=5;w=10'
        assert first.headers["ratelimit"] == '"tenant";r=4;t=2'
        # On a slow machine tokens come back meanwhile, so that more than five requests may be granted.
        answers = (api.get("/v1/me") for _ in range(200))
        refused = next(answer for answer in answers if answer.status_code != 200)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 2
        assert refused.headers["ratelimit"].startswith('"tenant";r=0;')
        assert refused.headers["x-request-id"]
        assert api.client.get("/healthz").status_code == 200
        assert "ratelimit" not in api.client.get("/healthz").headers
        time.sleep(2.1)
        assert api.get("/v1/me").status_code == 200


def test_tenant_when_it_has_many_keys_then_they_share_one_bucket(engines: Engines, tmp_path: Path) -> None:
    with limited(engines, tmp_path, rate_limit_per_s=0.01, rate_limit_burst=6) as api:
        keys = [api.as_key("jobs:read") for _ in range(4)]
        assert [key.get("/v1/me").status_code for key in (*keys, *keys)] == [200] * 6 + [429] * 2


def test_bucket_when_somebody_else_tries_to_empty_it_then_only_valid_keys_take_from_it(
    engines: Engines, tmp_path: Path
) -> None:
    """Neither a guessed secret to a known id, nor a key that was revoked, nor the header written otherwise."""
    with limited(engines, tmp_path, rate_limit_per_s=0.01, rate_limit_burst=10) as api:
        made = api.post("/v1/api-keys", json={"name": "stolen", "scopes": ["admin"]}).json()
        stolen = Api(api.client, api.engine, api.blobs, "", made["token"])
        assert stolen.get("/v1/me").status_code == 200
        assert api.delete(f"/v1/api-keys/{made['id']}").status_code == 204
        forged = Api(api.client, api.engine, api.blobs, "", api.token[:-1] + "?")
        assert statuses(forged, 30) == [401] * 30
        assert statuses(stolen, 30) == [401] * 30, "it is charged once, until this process knows that it is revoked"
        assert "ratelimit" not in stolen.get("/v1/me").headers
        left = int(api.get("/v1/me").headers["ratelimit"].partition("r=")[2].partition(";")[0])
        assert left == 10 - 5
        for header in (f"bearer {api.token}", f"BEARER  {api.token}"):
            api.client.get("/v1/me", headers={"Authorization": header})
        assert api.get("/v1/me").headers["ratelimit"].startswith('"tenant";r=2;')


@pytest.mark.parametrize("path", ["/v1/nowhere", "/v1/me/"])
def test_bucket_when_a_revoked_key_asks_where_no_key_is_asked_for_then_soon_not_charged(
    engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("app.api.known_keys._BELIEVED_S", 0.2)
    with limited(engines, tmp_path, rate_limit_per_s=0.01, rate_limit_burst=10) as api:
        made = api.post("/v1/api-keys", json={"name": "stolen", "scopes": ["jobs:read"]}).json()
        stolen = Api(api.client, api.engine, api.blobs, "", made["token"])
        assert stolen.get(path).headers["ratelimit"].startswith('"tenant";r=8;')
        assert api.delete(f"/v1/api-keys/{made['id']}").status_code == 204
        time.sleep(0.25)
        assert [stolen.get(path).status_code for _ in range(20)] == [404] * 20
        assert api.get("/v1/me").headers["ratelimit"].startswith('"tenant";r=6;')


def test_limits_when_off_then_no_headers(engines: Engines, tmp_path: Path) -> None:
    with limited(engines, tmp_path, rate_limit_per_s=0, rate_limit_burst=1) as api:
        assert statuses(api, 5) == [200] * 5
        assert "ratelimit" not in api.get("/v1/me").headers
        assert api.get("/v1/usage").json()["requests_per_s"] is None


def test_buckets_when_two_processes_share_redis_then_one_limit(broker_url: str) -> None:
    async def run() -> list[bool]:
        pair = [SharedBuckets(broker_url, 0.01, 6) for _ in range(2)]
        for one in pair:
            await ready(one)
        granted = [(await pair[number % 2].take("k")).granted for number in range(9)]
        for one in pair:
            await one.close()
        return granted

    assert asyncio.run(run()) == [True] * 6 + [False] * 3


def test_bucket_in_redis_when_time_passes_then_filled_and_forgotten(broker_url: str) -> None:
    async def run() -> None:
        buckets = SharedBuckets(broker_url, 20, 2)
        await ready(buckets)
        taken = [await buckets.take("k") for _ in range(3)]
        assert [one.granted for one in taken] == [True, True, False]
        assert taken[0].left == pytest.approx(1, abs=0.9)
        await asyncio.sleep(0.12)
        assert (await buckets.take("k")).granted
        lasts_ms = await buckets._client.pttl("distillery:rate:k")
        assert 0 < lasts_ms <= 1100
        await buckets.close()

    asyncio.run(run())


def test_redis_when_nowhere_then_limited_by_the_process_and_not_slowed() -> None:
    async def run() -> None:
        buckets = SharedBuckets(NOWHERE, 0.01, 3)
        waits: list[float] = []
        granted: list[bool] = []
        for _ in range(5):
            begun = time.monotonic()
            granted.append((await buckets.take("k")).granted)
            waits.append(time.monotonic() - begun)
        assert granted == [True] * 3 + [False] * 2
        assert median(waits) < _ANSWER_S, "requests wait for a Redis that is not there"
        await buckets.close()

    asyncio.run(run())


def test_redis_when_it_hangs_then_one_wait_and_back_again_later(
    engines: Engines, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.token_buckets._AGAIN_S", 0.5)
    pid = _pid_of(engines)

    async def run() -> None:
        buckets = SharedBuckets(broker_url, 1000, 1000)
        await ready(buckets)
        os.kill(pid, signal.SIGSTOP)
        try:
            waits: list[float] = []
            for _ in range(20):
                begun = time.monotonic()
                assert (await buckets.take("k")).granted
                waits.append(time.monotonic() - begun)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert waits[0] < 2
        assert max(waits[1:]) < waits[0], "nobody waits for Redis twice"
        await ready(buckets)
        await buckets.close()

    asyncio.run(run())


def test_local_bucket_when_others_come_and_go_then_forgotten_as_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.token_buckets._MOST_LOCAL", 2)
    buckets = LocalBuckets(0.001, 1)
    assert [buckets.take("a").granted for _ in range(2)] == [True, False]
    buckets.take("b")
    buckets.take("c")
    assert buckets.take("a").granted


def test_api_when_imported_then_redis_is_not() -> None:
    code = "import sys, app.main; app.main.create_app(app.main.undecided()); print('redis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def _pid_of(engines: Engines) -> int:
    import redis

    with redis.Redis.from_url(engines.redis.client_url) as client:
        return int(client.info("server")["process_id"])
