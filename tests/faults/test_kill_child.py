"""kill -9 of the child process at a random step: its job goes on from the last checkpoint, to the very same bytes."""

from __future__ import annotations

import random

import pytest

from tests.faults.conftest import Ground, at, attempts
from tests.faults.injections import busy_child, kill
from tests.faults.result_table import Measured

pytestmark = pytest.mark.faults


@pytest.mark.fault_row(
    1, "`kill -9` of the child at a random step", "goes on from its checkpoint; one summary, the same bytes",
    target="resumed <= 15 s",
)  # fmt: skip
@pytest.mark.parametrize("times", [5, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_job_when_its_child_is_killed_then_goes_on_from_the_checkpoint(ground: Ground, measured: Measured, times: int):
    measured.repeats(times)
    chance = random.Random(times)
    for _ in range(times):
        job_id = ground.start_job()
        ground.wait_for_step(job_id, chance.randrange(5, 110))
        killed = kill(busy_child(ground.service).pid)
        first, second = attempts(ground.finish_undisturbed(job_id))
        going = next(event for event in second if event["type"] in ("progress", "checkpoint"))
        measured("resumed after", at(going) - killed, "s", target=15)
        reached = max(event["data"]["step"] for event in first if event["type"] == "checkpoint")
        again = [event["data"]["step"] for event in second if event["type"] == "checkpoint"]
        assert not again or min(again) > reached, "it started again from the beginning"
