"""Forty mixed jobs under 35 kills over every kind of process, in an order that a seed fixes."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import Any

import psutil
import pytest

from distillery import Client, errors
from tests.faults.injections import kill_worker_tree
from tests.faults.invariants import check
from tests.faults.misbehaving import Misbehaving, misbehaving
from tests.service import Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SEED, JOBS, KILLS = 20, 40, 35
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("no-op", {}),
    ("dawdle", {"steps": 10, "pause_s": 0.1}),
    ("fill-disk", {"mb": 1}),
]
VICTIMS = ("api", "dispatcher", "worker", "postgres", "redis", "child", "backend", "worker tree")


def strike(service: Service, victim: str, chance: random.Random) -> None:
    """Kill one process of this kind, if there is one just now."""
    with suppress(psutil.Error, KeyError, ProcessLookupError):
        if victim == "worker tree":
            kill_worker_tree(service)
        elif victim == "child":
            chance.choice(service.children() or [psutil.Process(service.pid("worker"))]).kill()
        elif victim == "backend":
            chance.choice(psutil.Process(service.pid("postgres")).children()).kill()
        elif service.pid(victim) > 1:
            psutil.Process(service.pid(victim)).kill()


def queue(client: Client, at: Misbehaving, number: int) -> str:
    """A job, asked for until somebody takes the request."""
    method, params = METHODS[number % len(METHODS)]
    give_up = time.monotonic() + 120
    while True:
        try:
            return client.run(method, at.notes, params=params, seed=number).id
        except (errors.TransportError, errors.ServerError):
            assert time.monotonic() < give_up
            time.sleep(0.5)


def test_jobs_when_35_processes_of_every_kind_are_killed_then_each_ends_once():
    chance = random.Random(SEED)
    victims = [VICTIMS[number % len(VICTIMS)] for number in range(KILLS)]
    chance.shuffle(victims)
    with misbehaving(slots=2, queue_limit=0, queue_total_limit=0) as at, at.service.client as client:
        assert at.notes
        ids = []
        for number in range(JOBS):
            ids.append(queue(client, at, number))
            if victims:
                strike(at.service, victims.pop(), chance)
                time.sleep(chance.uniform(0.1, 0.6))
        assert not victims
        Service.wait(lambda: at.service.state().get("state") == "ready", 60, "the service to be whole")
        ended = {job_id: ended_job(at, job_id) for job_id in ids}
        assert len(set(ids)) == JOBS
        for job in ended.values():
            # Its worker was lost three times, which nobody can tell from a job that kills its worker.
            given_up = job["state"] == "failed" and job["error"]["code"] == "worker_lost" and job["attempt"] >= 3
            assert job["state"] == "succeeded" or given_up, job
        assert sum(job["state"] == "succeeded" for job in ended.values()) >= JOBS - 3
        check(at.service)


def ended_job(at: Misbehaving, job_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        with suppress(Exception):
            job = at.job(job_id)
            return job if job["state"] in ("succeeded", "failed", "cancelled") else None
        return None

    return Service.wait(look, 240, f"{job_id} to end", every_s=0.5)
