"""kill -9 of Postgres while a job runs: the child goes on, the API says 503, and soon everything is as before."""

from __future__ import annotations

import random
import time

import pytest

from tests.faults.conftest import QUICK, Ground, attempts
from tests.faults.injections import asked, away, busy_child, posted
from tests.faults.result_table import Measured
from tests.service import Service

pytestmark = pytest.mark.faults


@pytest.mark.fault_row(
    5, "`kill -9` of Postgres in a job; away for a second", "the child goes on; 503 problem with Retry-After; no loss",
    target="recovered <= 20 s",
)  # fmt: skip
def test_job_when_postgres_is_killed_then_its_child_goes_on(ground: Ground, measured: Measured):
    measured.repeats(5)
    chance = random.Random(5)
    quick = {"method": "random-users", "dataset": ground.dataset, "params": {"budget": 20}, "evaluate": QUICK}
    for number in range(5):
        job_id = ground.start_job()
        ground.wait_for_step(job_id, chance.randrange(5, 40))
        child = busy_child(ground.service)
        with ground.service.http as http, away(ground.service, "postgres"):
            killed = time.monotonic()
            used = sum(child.cpu_times()[:2])

            def refused(http=http, job_id=job_id) -> bool:
                answer = asked(lambda: http.get(f"/v1/jobs/{job_id}"))
                return answer is not None and answer.status_code == 503 and says_when_to_come_again(answer)

            Service.wait(refused, 10, "the API to say 503")
            Service.wait(lambda c=child, u=used: sum(c.cpu_times()[:2]) > u, 10, "the child to go on")
            time.sleep(1.0)
        other = posted(ground.service, {**quick, "seed": number, "force": True})
        Service.wait(lambda job_id=job_id: ground.job(job_id), 30, "the job to be shown")
        measured("recovered after", time.monotonic() - killed, "s", target=20)
        job = ground.finish_undisturbed(job_id)
        assert len(attempts(job)) == 1, "its child was given up"
        assert ground.finish(other["id"])["state"] == "succeeded"


def says_when_to_come_again(answer) -> bool:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "database_unavailable"
    return int(answer.headers["retry-after"]) > 0
