"""A job whose pass runs on processes of its own: any of them may die, want too much memory, or be told to stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.injections import busy_child, kill
from tests.faults.misbehaving import Misbehaving, misbehaving
from tests.service import Service

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def at() -> Iterator[Misbehaving]:
    with misbehaving(executor_processes=2, checkpoint_every_s=0) as at:
        yield at


def begun(folder: Path) -> list[list[int]]:
    """By shard, the processes that began it."""
    files = sorted(folder.iterdir(), key=lambda path: int(path.name))
    return [[int(line) for line in path.read_text().splitlines()] for path in files]


def start(at: Misbehaving, folder: Path, **params: object) -> str:
    return at.start("pass-over", {"folder": str(folder), **params})


def told(at: Misbehaving, job_id: str) -> list[str]:
    return [event["data"]["text"] for event in at.events(job_id) if event["type"] == "log"]


def wait_for_shards(folder: Path, count: int) -> None:
    Service.wait(lambda: len(list(folder.iterdir())) >= count, 60, f"{count} shards", every_s=0.02)


def test_a_process_of_the_pass_when_it_is_killed_then_only_its_shard_is_done_again(at: Misbehaving, tmp_path: Path):
    job_id = start(at, tmp_path)
    wait_for_shards(tmp_path, 4)
    victim = begun(tmp_path)[3][0]
    os.kill(victim, signal.SIGKILL)
    job = at.finish(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 1), job["error"]
    assert any("was ended by signal 9" in text for text in told(at, job_id))
    assert "sum 28" in told(at, job_id)
    assert sorted(len(processes) for processes in begun(tmp_path)) == [1] * 7 + [2]


def test_the_child_when_it_is_killed_then_the_pass_goes_on_from_its_running_sum(at: Misbehaving, tmp_path: Path):
    job_id = start(at, tmp_path)
    wait_for_shards(tmp_path, 5)
    time.sleep(0.3)
    processes = {pid for one in begun(tmp_path) for pid in one}
    kill(busy_child(at.service).pid)
    job = at.finish(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 2), job["error"]
    assert "sum 28" in told(at, job_id)
    assert [len(one) for one in begun(tmp_path)[:2]] == [1, 1]
    assert sum(len(one) for one in begun(tmp_path)) <= 8 + 4
    assert not any(psutil.pid_exists(pid) for pid in processes)


def test_cancel_when_shards_are_mapped_then_all_processes_are_gone_within_two_seconds(at: Misbehaving, tmp_path: Path):
    job_id = start(at, tmp_path, pause_s=60)
    wait_for_shards(tmp_path, 2)
    processes = {pid for one in begun(tmp_path) for pid in one}
    asked = time.monotonic()
    at.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    Service.wait(lambda: at.job(job_id)["state"] == "cancelled", 10, "the cancel", every_s=0.02)
    assert time.monotonic() - asked < 2.0
    assert not any(psutil.pid_exists(pid) for pid in processes)


def test_memory_when_the_processes_together_want_more_then_out_of_memory(at: Misbehaving, tmp_path: Path):
    worker = at.service.pid("worker")
    job = at.finish(at.start("pass-over", {"folder": str(tmp_path), "hungry": True}, limits={"memory_mb": 600}))
    assert (job["state"], job["error"]["code"], job["attempt"]) == ("failed", "out_of_memory", 2)
    assert at.service.pid("worker") == worker


def test_worker_when_told_to_stop_then_the_pass_goes_on_where_it_was(at: Misbehaving, tmp_path: Path):
    job_id = start(at, tmp_path)
    wait_for_shards(tmp_path, 5)
    time.sleep(0.3)
    os.kill(at.service.pid("worker"), signal.SIGTERM)
    job = at.finish(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 1), job["error"]
    assert "sum 28" in told(at, job_id)
    assert [len(one) for one in begun(tmp_path)[:2]] == [1, 1]
