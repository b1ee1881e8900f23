"""A worker whose Celery consumer takes nothing any more while its process is well: it is noticed and started again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest
from sqlalchemy import select

from app.embedded.redis import Redis
from app.jobs.broker import open_broker, probe_queue, waiting
from app.store.tables import worker
from tests.faults.conftest import EVALUATE, PARAMS
from tests.faults.invariants import database
from tests.planted import planted_csv
from tests.service import Service
from worker.main import DEAD_CONSUMER

pytestmark = pytest.mark.faults
SILENCE_S = 3.0


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service(probe_every_s=0.5, probe_silence_s=SILENCE_S, threads=1) as running:
        yield running


@pytest.fixture(scope="module")
def dataset(service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = planted_csv(tmp_path_factory.mktemp("data") / "planted.csv")
    with service.client as client:
        return client.datasets.upload(str(file), kind="interactions").reference


def worker_of(service: Service, pid: int) -> str:
    with database(service) as conn:
        return conn.scalars(select(worker.c.id).where(worker.c.pid == pid)).one()


def last_probe(service: Service, worker_id: str) -> object:
    with database(service) as conn:
        return conn.scalar(select(worker.c.last_probe_at).where(worker.c.id == worker_id))


def test_worker_when_idle_then_hears_its_probes(service: Service, dataset: str) -> None:
    worker_id = worker_of(service, service.pid("worker"))
    first = Service.wait(lambda: last_probe(service, worker_id), 10, "a probe")
    Service.wait(lambda: last_probe(service, worker_id) > first, 10, "another probe")


def test_worker_when_a_job_takes_longer_than_the_silence_then_is_left_alone(service: Service, dataset: str) -> None:
    pid = service.pid("worker")
    with service.client as client:
        job = client.run("distill-cf", dataset, params={**PARAMS, "steps": 1200}, evaluate=EVALUATE).wait()
        events = [event for event in job.events() if event["type"] in ("started", "succeeded")]
    assert [event["type"] for event in events] == ["started", "succeeded"]
    started, ended = (datetime.fromisoformat(event["at"]) for event in events)
    assert (ended - started).total_seconds() > SILENCE_S, "the job is too short to show anything"
    assert service.pid("worker") == pid


def test_worker_when_its_consumer_takes_nothing_then_ends_and_another_does_the_work(
    service: Service, dataset: str
) -> None:
    pid = service.pid("worker")
    worker_id = worker_of(service, pid)
    broker = open_broker(Redis(service.home / "redis").broker_url)
    for queue in ("cpu", "io", probe_queue(worker_id)):
        broker.control.cancel_consumer(queue)

    def replaced() -> bool:
        now = service.state()["parts"]["worker"]
        return now["pid"] not in (0, pid) and now["state"] == "ready"

    Service.wait(replaced, 60, "another worker")
    assert service.state()["parts"]["worker"]["last_exit"] == DEAD_CONSUMER
    assert "consumer_dead" in service.logs("worker")
    with service.client as client:
        client.run("random-users", dataset, budget=20, evaluate=EVALUATE).wait()
    assert waiting(broker, probe_queue(worker_of(service, service.pid("worker")))) <= 1
    broker.close()
