"""Which queue a job goes to, by what live workers announced when it is created."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, delete, text

from app.store.tables import worker
from tests.integration.api.conftest import Api, add_worker, change_method

NONE = {"capabilities": {"methods": ["interactions/head-users"], "devices": ["cpu"], "unavailable": {}}}
OTHER = {"capabilities": {"methods": ["interactions/auto"], "devices": ["cuda"], "unavailable": {}}}


@pytest.fixture(autouse=True)
def no_workers(engine: Engine) -> None:
    with engine.begin() as conn:
        conn.execute(delete(worker))


def ask(api: Api, device: str = "auto") -> dict[str, Any]:
    return api.post("/v1/jobs", json={"dataset": api.version(), "method": "head-users", "device": device}).json()


@pytest.mark.parametrize(
    ("method_device", "device", "queue"),
    [
        ("any", "auto", "gpu"),
        ("any", "cuda", "gpu"),
        ("any", "cpu", "cpu"),
        ("cuda", "auto", "gpu"),
        ("cuda", "cuda", "gpu"),
        ("cpu", "auto", "cpu"),
        ("cpu", "cpu", "cpu"),
    ],
)
def test_job_when_a_worker_has_a_gpu_then_goes_there_if_it_may(
    api: Api, engine: Engine, method_device: str, device: str, queue: str
) -> None:
    change_method(engine, "head-users", device=method_device)
    add_worker(engine)
    assert ask(api, device)["queue"] == queue


@pytest.mark.parametrize(
    "without",
    [
        pytest.param({}, id="no-worker"),
        pytest.param(NONE, id="without-a-device"),
        pytest.param(OTHER, id="without-the-method"),
        pytest.param({"queues": ["cpu", "io"]}, id="other-queues"),
        pytest.param({"stopped_at": text("now()")}, id="stopped"),
        pytest.param({"last_seen": text("now() - interval '90 seconds'")}, id="silent"),
    ],
)
def test_job_when_no_live_worker_runs_it_on_a_gpu_then_cpu_and_one_that_insists_is_refused(
    api: Api, engine: Engine, without: dict[str, Any]
) -> None:
    change_method(engine, "head-users", device="any")
    if without:
        add_worker(engine, **without)
    assert ask(api)["queue"] == "cpu"
    refused = ask(api, "cuda")
    assert (refused["code"], refused["errors"][0]["pointer"]) == ("unsupported_device", "/device")
    assert "Leave `device` out" in refused["hint"]


def test_method_when_it_runs_on_gpus_only_and_there_is_none_then_refused_with_the_cure(
    api: Api, engine: Engine
) -> None:
    change_method(engine, "head-users", device="cuda")
    refused = ask(api)
    assert refused["code"] == "unsupported_device"
    assert "DISTILLERY_QUEUES=gpu" in refused["hint"]
    assert ask(api, "cpu")["code"] == "unsupported_device"
