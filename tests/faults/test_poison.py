"""A job that ends its process each time it is tried: given up after three attempts, and nobody else notices."""

from __future__ import annotations

import pytest

from tests.faults.misbehaving import Misbehaving

pytestmark = pytest.mark.faults


@pytest.mark.fault_row(
    11, "a job that calls os._exit(9) each time", "failed after 3 attempts; others go on", target="3 attempts"
)
def test_poison_when_tried_three_times_then_failed_and_others_go_on(at: Misbehaving, measured):
    worker = at.service.pid("worker")
    poison = at.start("poison", {"mb": 200})
    others = [at.start("dawdle", {"steps": 10}, seed=seed) for seed in range(4)]
    ended = [at.finish(job_id) for job_id in others]
    assert [(job["state"], job["attempt"]) for job in ended] == [("succeeded", 1)] * 4, ended[0]["error"]
    job = at.finish(poison)
    assert (job["state"], job["attempt"], job["error"]["code"]) == ("failed", 3, "worker_lost")
    # Its last phase, and its memory: the 200 MB that it held and what Python and NumPy need.
    assert "in poison" in job["error"]["detail"]
    assert int(job["error"]["detail"].split(" MB")[0].split()[-1]) > 200
    assert [event["type"] for event in at.events(poison)].count("started") == 3
    assert at.service.pid("worker") == worker
    measured("attempts of the poison job", job["attempt"], target=3)
