"""A service with short leases that writes every checkpoint, one dataset in it, and the undisturbed result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.invariants import check
from tests.faults.misbehaving import Misbehaving, misbehaving
from tests.faults.result_table import FAILED, measured, pytest_addoption, pytest_configure
from tests.planted import planted_csv
from tests.service import Service

__all__ = ["measured", "pytest_addoption", "pytest_configure"]

# Some four seconds of steps: what is seen of them is half a second old, and all kills are meant to come before the end.
PARAMS = {"budget": 40, "steps": 600, "validate_every": 100, "row_mass": 12, "draws": 1, "tau": 3.0, "patience": 5000}
QUICK = {"learners": ["popularity"], "bootstrap": 100, "draws": 1}
EVALUATE = {"learners": ["popularity", "ease"], "bootstrap": 100, "draws": 1}
KILL_AT_STEP = 40


def at(event: dict[str, Any]) -> float:
    """When an event happened, in seconds since 1970."""
    return datetime.fromisoformat(event["at"]).timestamp()


def attempts(job: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The events of a finished job, cut where an attempt begins; each list begins with its `started`."""
    cut: list[list[dict[str, Any]]] = []
    for event in job["events"]:
        if event["type"] == "started":
            cut.append([])
        if cut:
            cut[-1].append(event)
    return cut


@dataclass
class Ground:
    """The service under attack, the dataset in it, and the hash of the summary nobody disturbed."""

    service: Service
    dataset: str
    undisturbed: str

    def start_job(self, **changes: Any) -> str:
        body = {"method": "distill-cf", "dataset": self.dataset, "params": PARAMS, "evaluate": EVALUATE, "force": True}
        with self.service.http as http:
            return http.post("/v1/jobs", json={**body, **changes}).raise_for_status().json()["id"]

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as the API shows it; {} while the API is away."""
        try:
            with self.service.http as http:
                answer = http.get(f"/v1/jobs/{job_id}")
            return answer.json() if answer.status_code == 200 else {}
        except (httpx.TransportError, FileNotFoundError, KeyError):
            return {}

    def wait_for_step(self, job_id: str, step: int) -> None:
        def reached() -> bool:
            progress = self.job(job_id).get("progress") or {}
            return progress.get("phase") == "distil" and progress["step"] >= step

        Service.wait(reached, 60, f"step {step}")

    def finish(self, job_id: str, seconds: float = 120) -> dict[str, Any]:
        """Wait for the end and check what must hold after every fault."""
        ended = ("succeeded", "failed", "cancelled")
        Service.wait(lambda: self.job(job_id).get("state") in ended, seconds, f"{job_id} to end", every_s=0.2)
        job = self.job(job_id)
        with self.service.http as http:
            events = http.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000}).json()["items"]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1)), "events have a gap"
        assert [event["type"] for event in events].count("succeeded") == (job["state"] == "succeeded")
        return {**job, "events": events}

    def finish_undisturbed(self, job_id: str) -> dict[str, Any]:
        """Wait for the end, which must be a success with the very bytes of the job that nobody disturbed."""
        job = self.finish(job_id)
        assert job["state"] == "succeeded", job["error"]
        assert self.summary_hash(job) == self.undisturbed
        return job

    def summary_hash(self, job: dict[str, Any]) -> str:
        with self.service.http as http:
            return http.get(f"/v1/summaries/{job['result']['summary']}").json()["content_sha256"]


@pytest.fixture(scope="package", autouse=True)
def _checked_before_it_stops() -> Iterator[None]:
    """A service that a test starts and stops by itself is checked while it still runs."""
    Service.before_stop.append(check)
    yield
    Service.before_stop.remove(check)


@pytest.fixture(autouse=True)
def _checked_after_each_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did to a service that goes on running, nothing is lost, doubled or left behind."""
    yield
    if not request.node.stash.get(FAILED, False):
        used = [getattr(given, "service", given) for given in request.node.funcargs.values()]
        for service in Service.running:
            if service in used:
                check(service)


@pytest.fixture(scope="package", name="at")
def misbehaving_service() -> Iterator[Misbehaving]:
    """A service with methods that misbehave, for tests that stop none of its parts."""
    with misbehaving(slots=2) as running:
        assert running.notes
        yield running


@pytest.fixture(scope="package")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    settings = {
        "checkpoint_every_s": 0, "lease_s": 4, "heartbeat_s": 0.5, "reap_every_s": 0.5, "reap_grace_s": 0.5,
        "republish_s": 2, "threads": 1,
    }  # fmt: skip
    with Service(**settings) as service:
        file = planted_csv(Path(tmp_path_factory.mktemp("data")) / "planted.csv")
        dataset = service.client.datasets.upload(str(file), kind="interactions")
        ground = Ground(service, dataset.reference, "")
        done = ground.finish(ground.start_job())
        assert done["state"] == "succeeded", done["error"]
        ground.undisturbed = ground.summary_hash(done)
        yield ground
