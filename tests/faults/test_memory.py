"""Jobs that want more memory than there is: one more try with half the size, then a clear end; the worker lives."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.misbehaving import Misbehaving
from tests.planted import planted_csv

pytestmark = pytest.mark.faults
EVALUATE = {"learners": ["popularity"], "bootstrap": 100, "draws": 1}
ROW = pytest.mark.fault_row(
    10,
    "a child that takes all memory; CUDA out of memory",
    "`out_of_memory` after one degraded retry; the worker lives",
    target="<= 30 s",
)


@pytest.fixture(scope="module")
def planted(at: Misbehaving, tmp_path_factory: pytest.TempPathFactory) -> str:
    csv = planted_csv(Path(tmp_path_factory.mktemp("data")) / "planted.csv")
    with at.service.client as client:
        return client.datasets.upload(str(csv), kind="interactions").reference


def tried_degraded(at: Misbehaving, job_id: str) -> bool:
    """Whether the second attempt, and only that, was told to halve its size."""
    texts = [event["data"]["text"] for event in at.events(job_id) if event["type"] == "log"]
    return [text for text in texts if text.startswith("degrade")] == ["degrade 0", "degrade 1"]


@ROW
@pytest.mark.parametrize(
    ("memory_mb", "pause_s", "seen_by"),
    [
        pytest.param(500, 0.01, "ran out of memory", id="refused-by-the-system"),
        # A child may always take 64 MB more than it had: with so little allowed, the worker's watch is first.
        pytest.param(90, 0.3, "was stopped", id="stopped-by-the-worker"),
    ],
)
def test_hog_when_it_reaches_its_limit_then_out_of_memory_after_one_degraded_retry(
    at: Misbehaving, memory_mb: int, pause_s: float, seen_by: str, measured
):
    worker, begun = at.service.pid("worker"), time.monotonic()
    job_id = at.start("hog", {"pause_s": pause_s}, limits={"memory_mb": memory_mb})
    job = at.finish(job_id)
    measured("until out_of_memory", time.monotonic() - begun, "s", target=30)
    assert (job["state"], job["error"]["code"], job["attempt"]) == ("failed", "out_of_memory", 2)
    assert seen_by in job["error"]["detail"]
    assert "memory_mb" in job["error"]["hint"]
    assert tried_degraded(at, job_id)
    assert at.service.pid("worker") == worker
    assert at.finish(at.start("no-op"))["state"] == "succeeded"


@ROW
@pytest.mark.parametrize("enough", [False, True])
def test_cuda_when_out_of_memory_then_one_degraded_retry_decides(at: Misbehaving, planted: str, enough, measured):
    worker, begun = at.service.pid("worker"), time.monotonic()
    params = {"degraded_is_enough": enough}
    job_id = at.start("cuda-oom", params, dataset=planted, evaluate=EVALUATE)
    job = at.finish(job_id)
    measured(
        "until out_of_memory" if not enough else "until the degraded success", time.monotonic() - begun, "s", target=30
    )
    assert tried_degraded(at, job_id)
    assert job["attempt"] == 2
    if enough:
        assert job["state"] == "succeeded", job["error"]
    else:
        assert (job["state"], job["error"]["code"]) == ("failed", "out_of_memory")
        assert "CUDA" in job["error"]["detail"]
    assert at.service.pid("worker") == worker
