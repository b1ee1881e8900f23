"""Five hundred clients that follow a job which does nothing: what they cost, and that none is forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.api.events import KEEPALIVE_S
from app.jobs.states import append_event
from distillery import Client
from tests.event_streams import CROWDED, Crowd
from tests.faults.invariants import database
from tests.planted import planted_csv
from tests.service import Service

pytestmark = pytest.mark.faults
CLIENTS = 500
KEPT = 60  # files that a process which was busy once keeps open: connections to Postgres and Redis
ONCE = Counter(created=1, waiting=1, log=1, cancelled=1, end=1)
GROWTH_BYTES = 100 << 20


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """No worker of it serves the queue of the job, so that the job waits for as long as the test likes."""
    with Service(queues="io", warm_spare=False, threads=1, **CROWDED) as running:
        yield running


def waiting_job(client: Client, folder: Path) -> str:
    file = planted_csv(folder / "planted.csv", users=60, items=20)
    dataset = client.datasets.upload(str(file), kind="interactions")
    return client.run("random-users", dataset, budget=10).id


def crowd(service: Service, job_id: str) -> Crowd:
    with service.http as http:
        return Crowd(http.base_url.port or 80, http.headers["Authorization"], job_id, CLIENTS)


def test_streams_when_500_are_idle_then_each_costs_little_and_each_hears_everything(
    service: Service, tmp_path: Path
) -> None:
    with service.client as client:
        job_id = waiting_job(client, tmp_path)
        api = psutil.Process(service.pid("api"))
        before = api.memory_info().rss

        def log_line() -> None:
            with database(service) as conn:
                append_event(conn, job_id, "log", {"text": "to all of you"})

        async def follow() -> None:
            async with crowd(service, job_id) as everybody:
                await everybody.all_have("created", 60)
                assert api.memory_info().rss - before <= GROWTH_BYTES
                await everybody.all_have(":", 2 * KEEPALIVE_S)
                for kind, cause in (("log", log_line), ("cancelled", client.job(job_id).cancel)):
                    await asyncio.to_thread(cause)
                    await everybody.all_have(kind, 20)
                await everybody.all_have("end", 20)
                assert all(f.events == ONCE for f in everybody.followers)

        asyncio.run(follow())
        assert api.memory_info().rss - before <= GROWTH_BYTES


def test_streams_when_500_clients_go_away_then_the_api_keeps_nothing_of_them(service: Service, tmp_path: Path) -> None:
    with service.client as client:
        job_id = waiting_job(client, tmp_path)
        api = psutil.Process(service.pid("api"))
        files = api.num_fds()

        async def come_and_go() -> None:
            async with crowd(service, job_id) as everybody:
                await everybody.all_have("created", 60)
                assert api.num_fds() >= CLIENTS

        asyncio.run(come_and_go())
        Service.wait(lambda: api.num_fds() < files + KEPT, 10, "the connections to be closed")
        client.job(job_id).cancel()
