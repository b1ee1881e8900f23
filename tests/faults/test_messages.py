"""Every message three times, in random order, also after the job is over: as many claims as jobs."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, select

from app.jobs.broker import open_broker, publish
from app.jobs.create import NewJob, create_job
from app.settings import Settings
from app.store.database import open_engine
from app.store.quotas import Quota
from app.store.tables import job, job_attempt, job_event
from tests.faults.invariants import database
from tests.faults.misbehaving import misbehaving
from tests.integration.jobs.conftest import fill
from worker.runtime.children import Children
from worker.runtime.supervise import Supervisor

pytestmark = pytest.mark.faults
TIMES = 3
UNLIMITED = Quota(queued_jobs=0, queued_in_all=0)
ROW = pytest.mark.fault_row(
    6,
    "every Celery message delivered 3 times, in random order, also after completion",
    "claims = jobs",
    target="0 duplicates",
)


@ROW
def test_jobs_when_a_worker_gets_each_message_thrice_then_each_is_claimed_once(measured):
    """The whole way: Redis, Celery, a worker with four slots."""
    with misbehaving(slots=4) as at:
        jobs = [at.start("no-op", seed=seed) for seed in range(12)]
        broker = open_broker(psutil.Process(at.service.pid("worker")).environ()["DISTILLERY_BROKER_URL"])
        shuffled = jobs * (TIMES - 1)
        random.Random(0).shuffle(shuffled)
        for job_id in shuffled:
            publish(broker, job_id, "cpu")
        for job_id in jobs:
            assert at.finish(job_id)["state"] == "succeeded"
        random.Random(1).shuffle(jobs)
        for job_id in jobs:  # and once more, long after the end
            publish(broker, job_id, "cpu")
        last = at.start("no-op")
        publish(broker, last, "cpu")
        at.finish(last)
        broker.close()
        with database(at.service) as conn:
            claims = Counter(conn.scalars(select(job_attempt.c.job_id).where(job_attempt.c.job_id.in_([*jobs, last]))))
        assert claims == Counter([*jobs, last])
        measured("second claims", claims.total() - len(jobs) - 1, target=0)


class QuietChildren(Children):
    """Children that are done at once: the smallest program that speaks the protocol of a child."""

    def __init__(self) -> None:
        super().__init__(warm_spare=False)

    def _spawn(self, *_: object, **__: object) -> subprocess.Popen[bytes]:
        say_done = """read brief; echo '{"t": "done"}'"""
        return subprocess.Popen(
            ["/bin/sh", "-c", say_done], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url, pool=20)
    with opened.begin() as conn:
        fill(conn)
    yield opened
    opened.dispose()


@ROW
@pytest.mark.parametrize("deliveries", [600, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1500)])])
def test_task_when_delivered_thrice_in_any_order_then_claims_are_jobs(
    deliveries: int, engine: Engine, tmp_path: Path, measured
):
    """What Celery's task calls, by eight threads of two workers at once; only the child process is a short one."""
    needed = {"database_url": "", "broker_url": "memory://", "secret": "", "heartbeat_s": 60.0}
    folders = {"blob_dir": tmp_path / "blobs", "staging_dir": tmp_path / "staging"}
    settings = Settings.model_validate({**needed, **folders})
    jobs = []
    for number in range(-(-deliveries // TIMES)):
        with engine.begin() as conn:
            new = NewJob("tiny", "ds_a@1", seed=number)
            jobs.append(create_job(conn, "ten_a", new, quota=UNLIMITED)["id"])
    children = QuietChildren()
    workers = [Supervisor(engine, settings, children, f"wrk_{number}") for number in range(2)]
    chance = random.Random(6)
    early, late = jobs * (TIMES - 1), list(jobs)
    chance.shuffle(early)
    chance.shuffle(late)
    try:
        with ThreadPoolExecutor(8) as pool:
            for batch in (early, late):
                for done in [pool.submit(chance.choice(workers).work) for _ in batch]:
                    done.result()
    finally:
        children.close()
    with engine.connect() as conn:
        claims = Counter(conn.scalars(select(job_attempt.c.job_id)))
        states = Counter(conn.scalars(select(job.c.state)))
        successes = Counter(conn.scalars(select(job_event.c.job_id).where(job_event.c.type == "succeeded")))
    assert claims == successes == Counter(jobs)
    assert states == Counter(succeeded=len(jobs))
    assert not list(settings.staging_dir.iterdir())
    measured("messages", len(early) + len(late))
    measured("second claims", claims.total() - len(jobs), target=0)
