"""The seconds for which an attempt held a GPU: what its process said, or what its worker saw when it died."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from app.jobs.claim import claim_job
from app.settings import Settings
from app.store.blobs import LocalBlobs
from app.store.tables import job, job_attempt
from tests.integration.jobs.conftest import queue_job
from worker.runtime.supervise import Attempt

TAKES = """print('{"t": "device", "device": "%s"}', flush=True); time.sleep(0.5);"""
DIES = "os.kill(os.getpid(), 9)"
ERROR = {"t": "error", "code": "diverged", "detail": "", "hint": "", "pointer": "", "cost": {"gpu_s": 12.5}}
FAILS = f"print({json.dumps(ERROR)!r})"


class Says:
    """Children that run these lines, as one with a GPU of its own would."""

    def __init__(self, lines: str) -> None:
        self.lines = lines

    def take(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", f"import os, time; {self.lines}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip


def ended(engine: Engine, tmp_path: Path, lines: str) -> tuple[float, float | None]:
    """The attempt's GPU-seconds after it ended, and those in the job's cost where it has one."""
    folders = {"blob_dir": tmp_path / "blobs", "staging_dir": tmp_path / "staging"}
    settings = Settings.model_validate({"database_url": "", "broker_url": "", "secret": "", **folders})
    with engine.begin() as conn:
        row = claim_job(conn, queue_job(conn)["id"], "worker", 30.0)
        assert row is not None
    blobs = LocalBlobs(settings.blob_dir, settings.staging_dir)
    Attempt(engine, blobs, settings, Says(lines), row).run()
    with engine.connect() as conn:
        gpu_s = conn.scalar(select(job_attempt.c.gpu_s).where(job_attempt.c.job_id == row["id"]))
        cost = conn.scalar(select(job.c.cost).where(job.c.id == row["id"]))
    assert gpu_s is not None
    return gpu_s, cost and cost["gpu_s"]


def test_gpu_seconds_when_the_child_was_killed_then_from_its_choice_of_a_gpu_to_its_end(engine: Engine, tmp_path: Path):
    gpu_s, cost = ended(engine, tmp_path, TAKES % "cuda" + DIES)
    assert 0.4 < gpu_s < 30
    assert cost is None  # the job is tried again


def test_gpu_seconds_when_the_killed_child_was_on_the_cpu_then_none(engine: Engine, tmp_path: Path):
    assert ended(engine, tmp_path, TAKES % "cpu" + DIES) == (0.0, None)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_gpu_seconds_when_the_child_said_them_then_these(engine: Engine, tmp_path: Path, device: str):
    assert ended(engine, tmp_path, TAKES % device + FAILS) == (12.5, 12.5)
