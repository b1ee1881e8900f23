"""kill -9 of the API in a POST and in the middle of an event stream; uploads are in test_upload_resume.py."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.faults.conftest import QUICK, Ground
from tests.faults.injections import asked, kill_part, posted
from tests.faults.invariants import database
from tests.faults.result_table import Measured
from tests.service import Service

pytestmark = pytest.mark.faults


@pytest.mark.fault_row(
    3, "`kill -9` of the API in a POST with an Idempotency-Key", "the same key makes one job", target="exactly 1 job"
)
def test_post_when_the_api_is_killed_in_it_then_the_same_key_makes_one_job(ground: Ground, measured: Measured):
    measured.repeats(5)
    chance = random.Random(3)
    for _ in range(5):
        key = os.urandom(12).hex()
        body = {
            "method": "random-users", "dataset": ground.dataset, "params": {"budget": 20}, "evaluate": QUICK,
            "force": True, "labels": {"key": key},
        }  # fmt: skip
        post_and_kill(ground.service, body, key, chance.uniform(0.0, 0.03))
        killed = time.monotonic()
        job = posted(ground.service, body, Idempotency_Key=key)
        measured("answered again after", time.monotonic() - killed, "s")
        assert posted(ground.service, body, Idempotency_Key=key)["id"] == job["id"]
        with database(ground.service) as conn:
            of_key = text("SELECT id FROM job WHERE labels ->> 'key' = :key")
            assert list(conn.scalars(of_key, {"key": key})) == [job["id"]]
        with ground.service.http as http:
            assert http.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
        ground.finish(job["id"])


def test_client_when_it_connects_while_the_api_is_away_then_it_waits_and_is_not_refused(ground: Ground):
    for _ in range(2):
        kill_part(ground.service, "api")
        with ground.service.http as http:
            assert http.get("/v1/jobs?page_size=1").status_code == 200  # on a connection of its own


def post_and_kill(service: Service, body: dict[str, Any], key: str, after_s: float) -> None:
    """POST, and kill the API that long after the request went out."""
    with service.http as http:
        http.get("/v1/jobs?page_size=1")  # a connection that is open already, so that the POST is on its way at once

        def post() -> None:
            asked(lambda: http.post("/v1/jobs", json=body, headers={"Idempotency-Key": key}))

        sender = threading.Thread(target=post)
        sender.start()
        time.sleep(after_s)
        kill_part(service, "api")
        sender.join()


def stream(service: Service, job_id: str, after: int) -> Iterator[tuple[str, int]]:
    """The events of a job as they come, as (type, number), until the connection breaks."""
    with service.http as http:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        with http.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as answer:
            if answer.status_code != 200:
                return
            event: dict[str, Any] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if line:
                    event[name] = value
                elif "event" in event:
                    yield event["event"], int(event.get("id", 0))
                    event = {}


@pytest.mark.fault_row(
    3, "`kill -9` of the API in an event stream", "the stream goes on without gap or repeat", target="0 gaps, 0 repeats"
)
def test_stream_when_the_api_is_killed_then_goes_on_without_gap_or_repeat(ground: Ground, measured: Measured):
    kills = 0
    while kills < 5:
        job_id = ground.start_job()
        seen, broken = follow_and_kill(ground.service, job_id, 5 - kills, measured)
        kills += broken
        job = ground.finish_undisturbed(job_id)
        assert seen == list(range(1, len(job["events"]) + 1))
    measured.repeats(kills)


def follow_and_kill(service: Service, job_id: str, most: int, measured: Measured) -> tuple[list[int], int]:
    """The numbers of a job's events as a client sees them to the end, through kills of the API, and how many."""
    seen, kills, killed = [0], 0, 0.0
    give_up = time.monotonic() + 240
    while time.monotonic() < give_up:
        came = 0
        with suppress(httpx.TransportError, FileNotFoundError, KeyError):
            for kind, number in stream(service, job_id, seen[-1]):
                if kind == "end":
                    return seen[1:], kills
                if killed and not came:
                    measured("stream goes on after", time.monotonic() - killed, "s")
                seen.append(number)
                came += 1
                if came == 10 and kills < most:
                    kill_part(service, "api")
                    killed, kills = time.monotonic(), kills + 1
        time.sleep(0.05)
    raise AssertionError("the stream did not come to its end")
