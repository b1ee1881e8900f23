"""A result that Postgres refuses to store ends the attempt at once; nobody waits for its lease."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from app.jobs.claim import claim_job
from app.settings import Settings
from app.store.blobs import LocalBlobs
from app.store.tables import job
from tests.integration.jobs.conftest import queue_job
from worker.runtime.children import Children
from worker.runtime.protocol import Assignment
from worker.runtime.supervise import Attempt


class Answering(Attempt):
    """Its child answers at once with what no column can hold."""

    def _prepare(self) -> Assignment:
        return Assignment({}, "")

    def _work(self, assignment: Assignment) -> int:
        self._answer = {"t": "done", "environment": {"secret\0value": 1}}
        return 0


def test_attempt_when_its_result_cannot_be_stored_then_fails_at_once_and_logs_no_value(
    engine: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    folders = {"blob_dir": tmp_path / "blobs", "staging_dir": tmp_path / "staging"}
    settings = Settings.model_validate({"database_url": "", "broker_url": "", "secret": "", **folders})
    with engine.begin() as conn:
        row = claim_job(conn, queue_job(conn)["id"], "worker", 30.0)
        assert row is not None
    children = Children(warm_spare=False)
    try:
        Answering(engine, LocalBlobs(settings.blob_dir, settings.staging_dir), settings, children, row).run()
    finally:
        children.close()
    with engine.connect() as conn:
        ended = conn.execute(select(job.c.state, job.c.error).where(job.c.id == row["id"])).one()
    assert (ended.state, ended.error["code"]) == ("failed", "internal")
    assert ended.error["hint"]
    said = capfd.readouterr()
    assert "not_stored" in said.out + said.err
    assert "value" not in said.out + said.err
