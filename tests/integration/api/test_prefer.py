"""`Prefer: wait` on a job: held until something happens, without holding anything else."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from app.api.prefer import wait_of
from app.jobs.claim import claim_job
from tests.integration.api.conftest import Api
from tests.service import Service


def waiting(api: Api, job_id: str, seconds: int = 20, **headers: str) -> tuple[Any, float]:
    """The answer, and how long it took."""
    begun = time.monotonic()
    answer = api.get(f"/v1/jobs/{job_id}", headers={"Prefer": f"wait={seconds}", **headers})
    return answer, time.monotonic() - begun


def later(work: Any, after_s: float = 0.5) -> threading.Timer:
    timer = threading.Timer(after_s, work)
    timer.start()
    return timer


def test_wait_when_the_job_changes_then_answered_at_once(api: Api, engine: Engine) -> None:
    job_id = api.job()["id"]

    def claim() -> None:
        with engine.begin() as conn:
            claim_job(conn, job_id, "w1", 30.0)

    etag = api.get(f"/v1/jobs/{job_id}").headers["etag"]
    timer = later(claim)
    answer, took = waiting(api, job_id, **{"If-None-Match": etag})
    timer.join()
    assert (answer.status_code, answer.json()["state"]) == (200, "running")
    assert answer.headers["preference-applied"] == "wait=20"
    assert 0.4 < took < 4, "it was found by the look that comes every five seconds"
    timer = later(lambda: api.log(job_id, "a line"))
    answer, took = waiting(api, job_id)  # without If-None-Match: until it differs from now
    timer.join()
    assert answer.status_code == 200
    assert 0.4 < took < 4, "it was found by the look that comes every five seconds"


def test_wait_when_nothing_happens_then_304_at_the_end(api: Api) -> None:
    job_id = api.job()["id"]
    etag = api.get(f"/v1/jobs/{job_id}").headers["etag"]
    answer, took = waiting(api, job_id, 1, **{"If-None-Match": etag})
    assert (answer.status_code, answer.headers["preference-applied"]) == (304, "wait=1")
    assert 0.9 < took < 10


def test_wait_when_the_client_is_behind_or_the_job_has_ended_then_not_held(api: Api) -> None:
    job_id = api.job()["id"]
    answer, took = waiting(api, job_id, **{"If-None-Match": '"older"'})
    assert (answer.status_code, took < 10) == (200, True)
    api.post(f"/v1/jobs/{job_id}/cancel")
    etag = api.get(f"/v1/jobs/{job_id}").headers["etag"]
    answer, took = waiting(api, job_id, **{"If-None-Match": etag})
    assert (answer.status_code, took < 10) == (304, True)
    assert waiting(api, "job_none")[0].status_code == 404


def test_wait_when_many_wait_then_no_connection_is_held(api: Api, client: TestClient) -> None:
    job_id = api.job()["id"]
    services: Any = client.app.state.services
    pool, followers = services.engine.pool, services.events._followers
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(waiting(api, job_id, 30)[0].status_code)) for _ in range(30)
    ]
    for thread in threads:
        thread.start()
    Service.wait(lambda: len(followers.get(job_id, ())) == 30, 15, "all thirty to have come")
    Service.wait(lambda: pool.checkedout() <= 2, 10, "thirty that wait to hold no thirty connections")
    begun = time.monotonic()
    assert api.get("/v1/me").status_code == 200
    quick = time.monotonic() - begun
    api.log(job_id, "a line")
    for thread in threads:
        thread.join()
    assert answers == [200] * 30
    assert quick < 10


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=20", 20), ("respond-async, wait=5", 5), ('wait="7"', 7), ("Wait = 9; x=y", 9), ("wait=3600", 30),
        ("wait=0", 0), ("wait", None), ("wait=-1", None), ("wait=x", None), ("await=5", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_prefer_when_read_then_at_most_thirty_seconds(header: str | None, seconds: int | None) -> None:
    assert wait_of(header) == seconds
