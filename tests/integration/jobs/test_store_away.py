"""An attempt while the S3-like store is away, damaged or slow: tried again later, failed clearly, never lost."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text

from app.jobs.claim import claim_job
from app.jobs.reap import Reaper
from app.settings import Settings
from app.store.blobs import CorruptBlob, LocalBlobs, StoredBlob, StoreUnavailable, record
from app.store.tables import job
from tests.integration.jobs.conftest import event_types, queue_job, state_of
from worker.runtime.children import Children
from worker.runtime.supervise import Attempt


class Trouble(LocalBlobs):
    """A store that gives an error, after a while, instead of a file."""

    error: Exception = StoreUnavailable("GenericError")
    after_s = 0.0

    def local_path(self, sha256: str) -> Path:
        time.sleep(self.after_s)
        raise self.error


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folders = {"blob_dir": tmp_path / "blobs", "staging_dir": tmp_path / "staging"}
    needed = {"database_url": "", "broker_url": "", "secret": ""}
    return Settings.model_validate({**needed, **folders, "heartbeat_s": 0.1, "lease_s": 1.0, "warm_spare": False})


@pytest.fixture
def blobs(settings: Settings) -> Trouble:
    return Trouble(settings.blob_dir, settings.staging_dir)


def attempt(engine: Engine, blobs: Trouble, settings: Settings) -> str:
    """One attempt at a fresh job whose dataset has one file; returns the job."""
    with engine.begin() as conn:
        stored = StoredBlob(hashlib.sha256(b"x").hexdigest(), 1)
        record(conn, "ten_a", "ds_a@1", "canonical/interactions.parquet", stored, "")
        row = claim_job(conn, queue_job(conn)["id"], "worker", settings.lease_s)
        assert row is not None
    children = Children(warm_spare=False)
    try:
        Attempt(engine, blobs, settings, children, row).run()
    finally:
        children.close()
    return row["id"]


def test_attempt_when_the_store_is_away_then_the_job_is_tried_again_later(engine: Engine, blobs, settings):
    job_id = attempt(engine, blobs, settings)
    with engine.connect() as conn:
        assert state_of(conn, job_id) == "queued"
        assert conn.scalar(select(job.c.available_at > text("now()")).where(job.c.id == job_id))
        assert event_types(conn, job_id) == ["created", "started", "requeued"]
    assert not list(settings.staging_dir.iterdir())


def test_attempt_when_a_file_came_damaged_then_the_job_fails_and_says_so(engine: Engine, blobs, settings):
    blobs.error = CorruptBlob("ab" * 32)
    job_id = attempt(engine, blobs, settings)
    with engine.connect() as conn:
        error = conn.scalar(select(job.c.error).where(job.c.id == job_id))
    assert error["code"] == "corrupt_blob"
    assert "ab" * 32 in error["detail"]


def test_attempt_when_files_come_slowly_then_the_lease_is_kept(engine: Engine, blobs, settings):
    blobs.after_s = 3 * settings.lease_s
    reaped: list[int] = []
    over = threading.Event()

    def reap() -> None:
        reaper = Reaper(lease_s=0.1, grace_s=0.0)
        while not over.wait(0.1):
            with engine.begin() as conn:
                reaped.append(reaper.sweep(conn))

    thread = threading.Thread(target=reap)
    thread.start()
    try:
        job_id = attempt(engine, blobs, settings)
    finally:
        over.set()
        thread.join()
    assert sum(reaped) == 0
    assert len(reaped) > 10
    with engine.connect() as conn:
        assert event_types(conn, job_id) == ["created", "started", "requeued"]
