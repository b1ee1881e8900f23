"""kill -9 of every part during a running `distill-cf`: it ends once, resumed, with the very same bytes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import httpx
import psutil
import pytest

from tests.faults.conftest import KILL_AT_STEP, Ground
from tests.service import Service

pytestmark = pytest.mark.faults


def busy_child(ground: Ground) -> psutil.Process:
    """The child at work: the one that has used most CPU."""
    return max(ground.service.children(), key=lambda process: sum(process.cpu_times()[:2]))


def kill_child(ground: Ground) -> None:
    busy_child(ground).kill()


def kill_worker_tree(ground: Ground) -> None:
    worker = psutil.Process(ground.service.pid("worker"))
    for process in [worker, *worker.children(recursive=True)]:
        process.kill()


def kill_part(name: str) -> Callable[[Ground], None]:
    def kill(ground: Ground) -> None:
        os.kill(ground.service.pid(name), signal.SIGKILL)

    return kill


def restarted_empty(ground: Ground) -> None:
    """Kill Redis and remove its files before the supervisor starts it again."""
    folder = ground.service.home / "redis"
    os.kill(ground.service.pid("redis"), signal.SIGKILL)
    for file in folder.rglob("*.aof"):
        file.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("kill", "resumes"),
    [
        pytest.param(kill_child, True, id="child"),
        pytest.param(kill_worker_tree, True, id="worker-tree"),
        pytest.param(kill_part("api"), False, id="api"),
        pytest.param(restarted_empty, False, id="redis-empty"),
        pytest.param(kill_part("postgres"), False, id="postgres"),
    ],
)
def test_job_when_a_part_is_killed_then_ends_once_with_the_same_bytes(ground: Ground, kill, resumes: bool):
    job_id = ground.start_job()
    ground.wait_for_step(job_id, KILL_AT_STEP)
    kill(ground)
    job = ground.finish(job_id)
    assert job["state"] == "succeeded", job["error"]
    assert ground.summary_hash(job) == ground.undisturbed
    starts = [number for number, event in enumerate(job["events"]) if event["type"] == "started"]
    if resumes:
        assert len(starts) == 2
        steps = [event["data"]["step"] for event in job["events"][starts[1] :] if event["type"] == "checkpoint"]
        assert min(steps) > KILL_AT_STEP, "it started again from the beginning"


def test_queue_when_redis_comes_back_empty_then_waiting_jobs_run_once(ground: Ground):
    ids = [ground.start_job(method="random-users", params={"budget": 20}, seed=seed) for seed in range(4)]
    restarted_empty(ground)
    for job_id in ids:
        job = ground.finish(job_id)
        assert job["state"] == "succeeded", job["error"]
        assert [event["type"] for event in job["events"]].count("started") == 1


def test_upload_when_the_api_is_killed_then_the_same_key_makes_one_job(ground: Ground):
    body = {"method": "random-users", "dataset": ground.dataset, "params": {"budget": 21}}
    key = {"Idempotency-Key": "kill-between"}
    with ground.service.http as http:
        first = http.post("/v1/jobs", json=body, headers=key).json()["id"]
    os.kill(ground.service.pid("api"), signal.SIGKILL)

    def again() -> str | None:
        try:
            with ground.service.http as http:
                answer = http.post("/v1/jobs", json=body, headers=key)
            return answer.json()["id"] if answer.status_code < 300 else None
        except (httpx.TransportError, KeyError, FileNotFoundError):
            return None

    assert Service.wait(again, 30, "the API to be back") == first
    assert ground.finish(first)["state"] == "succeeded"
