"""What a worker does with a hint: whatever it is about, its free slots work until nothing waits."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from app.jobs.commit import Outcome, commit_result
from app.jobs.finish import AttemptEnd
from app.jobs.states import JobRow
from app.settings import Settings
from app.store.tables import job
from tests.integration.jobs.conftest import queue_job, state_of
from worker.runtime.children import Children
from worker.runtime.slots import Slots, slots_of
from worker.runtime.supervise import Supervisor


class Quick(Supervisor):
    """Its jobs do nothing; `done` are they, in order."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        super().__init__(engine, settings, Children(warm_spare=False), "wrk")
        self.engine, self.done = engine, list[str]()

    def _run(self, row: JobRow) -> None:
        with self.engine.begin() as conn:
            assert commit_result(conn, row, Outcome(), AttemptEnd()) is not None
        self.done.append(row["id"])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    needed = {"database_url": "", "broker_url": "memory://", "secret": "", "queues": "cpu,io"}
    folders = {"blob_dir": tmp_path / "blobs", "staging_dir": tmp_path / "staging"}
    return Settings.model_validate({**needed, **folders})


@pytest.fixture
def worker(engine: Engine, settings: Settings) -> Quick:
    return Quick(engine, settings)


class Slow(Quick):
    """Its jobs last until they are let go."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        super().__init__(engine, settings)
        self.began, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def _run(self, row: JobRow) -> None:
        self.began.release()
        assert self.go.acquire(timeout=30)
        super()._run(row)


def queued(engine: Engine, *priorities: int) -> list[str]:
    with engine.begin() as conn:
        return [queue_job(conn, seed=seed, priority=priority)["id"] for seed, priority in enumerate(priorities)]


def test_slot_when_its_job_is_done_then_takes_the_others_by_priority(engine: Engine, worker: Quick) -> None:
    low, high, last = queued(engine, 0, 5, 0)
    worker.work()
    assert worker.done == [high, low, last]


def test_slot_when_the_hint_is_stale_then_takes_what_waits_behind_it(engine: Engine, worker: Quick) -> None:
    [done] = queued(engine, 0)
    worker.work()
    with engine.begin() as conn:
        fresh = queue_job(conn, seed=7)["id"]
    worker.work()
    assert worker.done == [done, fresh]
    worker.work()
    assert worker.done == [done, fresh]


def test_slot_when_the_worker_stops_then_takes_nothing_more(engine: Engine, worker: Quick) -> None:
    first, second = queued(engine, 0, 0)
    run = worker._run

    def stop_meanwhile(row: JobRow) -> None:
        run(row)
        worker.stop()

    worker._run = stop_meanwhile
    worker.work()
    assert worker.done == [first]
    with engine.connect() as conn:
        assert state_of(conn, second) == "queued"


def test_upload_when_a_long_job_runs_then_is_read_beside_it(engine: Engine, settings: Settings) -> None:
    worker = Slow(engine, settings)
    [long] = queued(engine, 0)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(worker.work)
        assert worker.began.acquire(timeout=30)
        with engine.begin() as conn:
            upload = queue_job(conn, seed=8)["id"]
            conn.execute(update(job).where(job.c.id == upload).values(queue="io"))
        second = threads.submit(worker.work)
        assert worker.began.acquire(timeout=30)  # though the long job still runs
        worker.go.release(2)
        first.result()
        second.result()
    assert sorted(worker.done) == sorted([long, upload])


def test_slot_when_a_hint_found_none_then_looks_again_before_it_is_left(engine: Engine, settings: Settings) -> None:
    worker = Slow(engine, settings)
    [first, second] = queued(engine, 0, 0)
    claim = worker._claim

    def hint_after_the_last_look(slots: Slots) -> JobRow | None:
        row = claim(slots)
        if row is None and "cpu" in slots.queues and len(worker.done) == 2:
            with engine.begin() as conn:
                queue_job(conn, seed=9)
            worker._claim = claim
            worker.work()  # another thread's hint: it finds no slot
        return row

    worker._claim = hint_after_the_last_look
    worker.go.release(9)
    worker.work()
    assert worker.done[:2] == [first, second]
    assert len(worker.done) == 3


def test_slots_when_a_worker_serves_one_kind_of_queue_then_has_only_those(settings: Settings) -> None:
    def counts(queues: str) -> dict[tuple[str, ...], int]:
        changed = settings.model_copy(update={"queues": queues, "slots": 3, "io_slots": 2})
        return {slots.queues: slots.count for slots in slots_of(changed)}

    assert counts("cpu, gpu,io") == {("io",): 2, ("cpu", "gpu"): 3}
    assert counts("io") == {("io",): 2}
    assert counts("gpu") == {("gpu",): 3}
