"""kill -9 of Redis, which comes back empty: everything queued runs once, soon, and posting never notices."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy import text

from tests.faults.conftest import KILL_AT_STEP, QUICK, Ground, attempts
from tests.faults.injections import away, empty_redis_files, redis_client
from tests.faults.invariants import database
from tests.faults.result_table import Measured
from tests.planted import planted_csv
from tests.plugins import python_path
from tests.service import Service

pytestmark = pytest.mark.faults
QUEUED, LATER = 200, 40
REAL_EVERY = 10


def test_job_when_redis_is_killed_and_comes_back_empty_then_does_not_notice(ground: Ground):
    job_id = ground.start_job()
    ground.wait_for_step(job_id, KILL_AT_STEP)
    with away(ground.service, "redis"):
        empty_redis_files(ground.service)
    assert len(attempts(ground.finish_undisturbed(job_id))) == 1


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Two slots, the default times, and a plug-in whose method does nothing."""
    monkeypatch.setenv("PYTHONPATH", python_path("notes"))
    with Service(slots=2, threads=1, queue_limit=QUEUED) as running:
        yield running


def requests(service: Service, folder: Path) -> Iterator[dict[str, Any]]:
    """Bodies of jobs, every tenth a real one and the others doing nothing."""
    (folder / "rows.txt").write_text("nothing\n")
    real = service.client.datasets.upload(str(planted_csv(folder / "planted.csv")), kind="interactions").reference
    idle = service.client.datasets.upload(str(folder / "rows.txt"), kind="notes").reference
    real_job = {"method": "random-users", "dataset": real, "params": {"budget": 20}, "evaluate": QUICK, "force": True}
    idle_job = {"method": "no-op", "dataset": idle, "force": True}
    return ({**(idle_job if seed % REAL_EVERY else real_job), "seed": seed} for seed in itertools.count())


def post(http: httpx.Client, body: dict[str, Any]) -> float:
    """Post a job; returns what the answer took in seconds."""
    asked = time.perf_counter()
    assert http.post("/v1/jobs", json=body).status_code == 202
    return time.perf_counter() - asked


def back(service: Service) -> float:
    """When Redis answered again, in seconds since 1970; it must be empty."""
    with redis_client(service) as client:

        def answers() -> bool:
            try:
                return client.ping()
            except redis.RedisError:
                return False

        Service.wait(answers, 30, "Redis to be back", every_s=0.01)
        return time.time()


def count(service: Service, state: str) -> int:
    with database(service) as conn:
        return conn.scalar(text("SELECT count(*) FROM job WHERE task <> 'ingest' AND state = :state"), {"state": state})


@pytest.mark.timeout(1200)
@pytest.mark.fault_row(
    4, "`kill -9` of Redis, once for 10 s, restart empty; 200 queued", "all finish exactly once; posting goes on",
    target="first claim <= 10 s; POST p99 < 300 ms",
)  # fmt: skip
def test_queue_when_redis_comes_back_empty_then_all_finish_exactly_once(
    service: Service, measured: Measured, tmp_path: Path
):
    measured.repeats(5)
    bodies = requests(service, tmp_path)
    with service.http as http:
        with away(service, "redis"):
            empty_redis_files(service)
            took = [paced(http, next(bodies)) for _ in range(QUEUED)]
            assert count(service, "queued") == QUEUED
        measured("POST p99 while it was away", 1000 * quantiles(took, n=100)[98], "ms", target=300)
        measured("first claim after its return", first_claim(service, first := back(service)) - first, "s", target=10)
        wait_for_done(service, QUEUED)
        measured("all 200 finished after", time.time() - first, "s")
        for number in range(1, 5):  # and in the midst of work, with hints that are lost
            for _ in range(LATER // 2):
                post(http, next(bodies))
            with away(service, "redis"):
                empty_redis_files(service)
                for _ in range(LATER // 2):
                    paced(http, next(bodies))
            returned = back(service)
            measured("first claim after its return", first_claim(service, returned) - returned, "s", target=10)
            wait_for_done(service, QUEUED + number * LATER)
    with database(service) as conn:
        tries = list(conn.scalars(text("SELECT attempt FROM job WHERE task <> 'ingest'")))
        claims = conn.scalar(text("SELECT count(*) FROM job_attempt JOIN job ON id = job_id WHERE task <> 'ingest'"))
    assert tries == [1] * (QUEUED + 4 * LATER)
    assert claims == len(tries)


def wait_for_done(service: Service, jobs: int) -> None:
    Service.wait(lambda: count(service, "succeeded") >= jobs, 800, f"{jobs} jobs to finish", every_s=0.2)


def paced(http: httpx.Client, body: dict[str, Any]) -> float:
    """Post a job, twenty of them a second; returns what the answer took in seconds."""
    begun = time.monotonic()
    took = post(http, body)
    time.sleep(max(0.0, 0.05 - (time.monotonic() - begun)))
    return took


def first_claim(service: Service, since: float) -> float:
    first = text("SELECT min(started_at) FROM job_attempt WHERE started_at > to_timestamp(:since)")

    def claimed() -> datetime | None:
        with database(service) as conn:
            return conn.scalar(first, {"since": since})

    return Service.wait(claimed, 60, "a claim").timestamp()
