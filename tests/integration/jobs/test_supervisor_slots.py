"""What a slot does with a hint: whatever it is about, the slot works until nothing waits."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.jobs.commit import Outcome, commit_result
from app.jobs.finish import AttemptEnd
from app.jobs.states import JobRow
from app.settings import Settings
from tests.integration.jobs.conftest import queue_job, state_of
from worker.runtime.children import Children
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
def worker(engine: Engine, tmp_path: Path) -> Quick:
    needed = {"database_url": "", "broker_url": "memory://", "secret": "", "queues": "cpu"}
    folders = {"blob_dir": tmp_path / "blobs", "staging_dir": tmp_path / "staging"}
    return Quick(engine, Settings.model_validate({**needed, **folders}))


def queued(engine: Engine, *priorities: int) -> list[str]:
    with engine.begin() as conn:
        return [queue_job(conn, seed=seed, priority=priority)["id"] for seed, priority in enumerate(priorities)]


def test_slot_when_its_job_is_done_then_takes_the_others_by_priority(engine: Engine, worker: Quick) -> None:
    low, high, hinted = queued(engine, 0, 5, 0)
    worker.attempt(hinted)
    assert worker.done == [hinted, high, low]


def test_slot_when_the_hint_is_stale_then_takes_what_waits_behind_it(engine: Engine, worker: Quick) -> None:
    [done] = queued(engine, 0)
    worker.attempt(done)
    with engine.begin() as conn:
        fresh = queue_job(conn, seed=7)["id"]
    worker.attempt(done)
    assert worker.done == [done, fresh]
    worker.attempt(fresh)
    assert worker.done == [done, fresh]


def test_slot_when_the_worker_stops_then_takes_nothing_more(engine: Engine, worker: Quick) -> None:
    first, second = queued(engine, 0, 0)
    run = worker._run

    def stop_meanwhile(row: JobRow) -> None:
        run(row)
        worker.stop()

    worker._run = stop_meanwhile  # type: ignore[method-assign]
    worker.attempt(first)
    assert worker.done == [first]
    with engine.connect() as conn:
        assert state_of(conn, second) == "queued"
