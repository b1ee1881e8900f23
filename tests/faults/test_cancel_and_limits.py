"""Cancel within two seconds, memory limits that hurt only the job, and workers that stop politely."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.faults.conftest import KILL_AT_STEP, PARAMS, Ground
from tests.service import Service

pytestmark = pytest.mark.faults


def test_cancel_when_the_job_runs_then_it_ends_within_two_seconds_without_a_summary(ground: Ground):
    job_id = ground.start_job(params={**PARAMS, "steps": 5000})
    ground.wait_for_step(job_id, 5)
    asked = time.monotonic()
    with ground.service.http as http:
        assert http.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
    Service.wait(lambda: ground.job(job_id).get("state") == "cancelled", 10, "the cancel", every_s=0.02)
    assert time.monotonic() - asked < 2.0
    assert ground.finish(job_id)["result"] is None


def test_memory_when_the_limit_is_too_small_then_the_job_says_so_and_the_worker_lives(ground: Ground):
    worker = ground.service.pid("worker")
    job = ground.finish(ground.start_job(limits={"memory_mb": 260}))
    assert (job["state"], job["error"]["code"]) == ("failed", "out_of_memory")
    assert "memory_mb" in job["error"]["hint"]
    assert ground.service.pid("worker") == worker
    assert ground.finish(ground.start_job(method="random-users", params={"budget": 10}))["state"] == "succeeded"


def test_worker_when_told_to_stop_then_gives_its_job_back_and_the_next_one_resumes(ground: Ground):
    job_id = ground.start_job()
    ground.wait_for_step(job_id, KILL_AT_STEP)
    os.kill(ground.service.pid("worker"), signal.SIGTERM)
    job = ground.finish(job_id)
    assert job["state"] == "succeeded", job["error"]
    assert (job["attempt"], ground.summary_hash(job)) == (1, ground.undisturbed)
    assert {event["data"].get("reason") for event in job["events"]} >= {"worker_stopping"}
