"""A worker stopped for longer than its lease wakes: its job has another owner, and its commit comes too late."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from tests.faults.conftest import Ground, at, attempts
from tests.faults.injections import held
from tests.faults.invariants import database
from tests.faults.result_table import Measured
from tests.planted import planted_csv
from tests.service import Service

pytestmark = pytest.mark.faults
HOLDS = "the late commit is refused by the fence; one summary"


@contextmanager
def another_worker(service: Service, **settings: object) -> Iterator[int]:
    """A second worker on the same database and store, started and stopped here; its log is another.log."""
    changed = {f"DISTILLERY_{name.upper()}": str(value) for name, value in settings.items()}
    environment = {**psutil.Process(service.pid("worker")).environ(), **changed}
    with (service.home / "logs" / "another.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "worker.main"], env=environment, stdout=log, stderr=log)
    try:
        Service.wait(lambda: said(service, "another", "worker_ready"), 60, "the other worker to be ready")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()


def said(service: Service, log: str, *words: str) -> bool:
    """Whether a line of a log holds all these words."""
    return any(all(word in line for word in words) for line in service.logs(log).splitlines())


def owners(service: Service, job_id: str) -> list[tuple[int, str, int]]:
    """Fence, outcome and process of every attempt."""
    query = (
        "SELECT fence, outcome, pid FROM job_attempt JOIN worker ON worker.id = worker_id"
        " WHERE job_id = :job ORDER BY fence"
    )
    with database(service) as conn:
        return [tuple(row) for row in conn.execute(text(query), {"job": job_id})]


def wait_for_owner(ground: Ground, job_id: str, number: int, step: int) -> None:
    """Until the owner of that number, counted from 1, has come to a step."""

    def there() -> bool:
        with ground.service.http as http:
            events = http.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000}).json()["items"]
        own = attempts({"events": events})[number - 1 :]
        return bool(own) and any(event["data"].get("step", 0) >= step for event in own[0])

    Service.wait(there, 90, f"the owner {number} to come to step {step}", every_s=0.1)


@pytest.mark.fault_row(
    7, "SIGSTOP of a worker for longer than its lease, then SIGCONT", HOLDS, target="1 owner, 1 summary, always"
)
@pytest.mark.parametrize(("staging", "times"), [("own", 3), ("shared", 2)])
def test_commit_when_its_worker_was_stopped_beyond_its_lease_then_is_refused(
    ground: Ground, measured: Measured, staging: str, times: int
):
    """With a staging folder of its own the late worker has a whole result to commit, as on another machine.

    In a shared one the next owner has cleared its files away; it must not do the same to the next owner's.
    It never renews its lease of 12 s, so that nothing but the commit itself can tell it of the other owner.
    """
    service, taker = ground.service, ground.service.pid("worker")
    folder = service.home / ("another-staging" if staging == "own" else "staging")
    measured.repeats(times)
    with another_worker(service, lease_s=12, heartbeat_s=3600, staging_dir=folder) as zombie:
        for _ in range(times):
            with held(taker):  # so that the other one claims the job
                job_id = ground.start_job()
                wait_for_owner(ground, job_id, 1, 5)
            with held(zombie):
                stopped = time.time()
                wait_for_owner(ground, job_id, 2, 20)
            job = ground.finish_undisturbed(job_id)
            measured("next owner after", at(attempts(job)[1][0]) - stopped, "s")
            late = Service.wait(lambda job_id=job_id: last_word(service, job_id), 60, "the late worker to see its end")
            assert staging == "shared" or late == "commit_refused"
            assert owners(service, job_id) == [(1, "worker_lost", zombie), (2, "succeeded", taker)]
            assert ground.finish_undisturbed(job_id)["result"] == job["result"]


def last_word(service: Service, job_id: str) -> str | None:
    """What the late worker said of the end of this job."""
    return next((word for word in ("commit_refused", "attempt_failed") if said(service, "another", word, job_id)), None)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.fault_row(7, "the same for 60 s with the default lease", HOLDS, target="1 owner, 1 summary, always")
def test_worker_when_stopped_for_a_minute_then_finds_its_fence_lost(measured: Measured, tmp_path: Path):
    with Service(threads=1, checkpoint_every_s=0) as service:
        csv = planted_csv(tmp_path / "planted.csv")
        ground = Ground(service, service.client.datasets.upload(str(csv), kind="interactions").reference, "")
        ground.undisturbed = ground.summary_hash(ground.finish(ground.start_job()))
        zombie, job_id = service.pid("worker"), ground.start_job()
        wait_for_owner(ground, job_id, 1, 5)
        with held(zombie):
            until = time.monotonic() + 60
            with another_worker(service) as taker:
                job = ground.finish_undisturbed(job_id)
                time.sleep(max(0.0, until - time.monotonic()))
        Service.wait(
            lambda: said(service, "worker", "fence_lost", job_id) or said(service, "worker", "commit_refused", job_id),
            30, "the stopped worker to see that it lost its job",
        )  # fmt: skip
        assert owners(service, job_id) == [(1, "worker_lost", zombie), (2, "succeeded", taker)]
        assert ground.finish_undisturbed(job_id)["result"] == job["result"]
