"""What a worker gives to the methods it runs: a device, where it has one, and credentials, where they need some.

The worker pretends to have a GPU. Where there is none its children run on the CPU, as they do when a device is lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins import python_path
from tests.scanning import files_below, files_with
from tests.service import Service

SECRET = "hush-6c1f0e-nobody-else-may-know"


class Witness:
    """A service with the plug-in, and a version of its kind."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        (folder / "note.txt").write_text("a")
        with service.client as client:
            self.notes = client.datasets.upload(str(folder / "note.txt"), kind="notes").reference

    def run(self, method: str, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The finished job, and what its method said."""
        with self.service.client as client:
            job = client.run(method, self.notes, **more).wait(timeout=60)
            [text] = [event["data"]["text"] for event in job.events() if event["type"] == "log"]
            return job.view, json.loads(text)


def started(**settings: object) -> Service:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", python_path("notes"))
        return Service(threads=1, **settings)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witness]:
    """A worker that pretends to have a GPU, and has credentials."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "credentials.json").write_text(json.dumps({"provider": {"key": SECRET}}))
    with started(devices="cuda", credentials_file=folder / "credentials.json") as service:
        yield Witness(service, folder)


def test_any_method_when_a_worker_has_a_gpu_then_reaches_it_and_its_seconds_are_measured(at: Witness) -> None:
    job, saw = at.run("look")
    assert (job["queue"], job["state"]) == ("gpu", "succeeded")
    assert (saw["device"] == "cuda") == (job["cost"]["gpu_s"] > 0)


def test_any_method_when_the_job_asks_for_the_cpu_then_runs_there(at: Witness) -> None:
    job, saw = at.run("look", device="cpu")
    assert (job["queue"], saw["device"], job["cost"]["gpu_s"]) == ("cpu", "cpu", 0.0)


def test_credentials_when_a_method_needs_them_then_it_alone_gets_them(at: Witness) -> None:
    known = hashlib.sha256(SECRET.encode()).hexdigest()
    assert at.run("ask")[1]["credentials"] == {"provider": known}
    job, saw = at.run("look", seed=1)
    assert (job["state"], saw["credentials"]) == ("succeeded", {})


def test_credentials_when_used_then_they_are_in_no_environment_and_nothing_that_is_kept(at: Witness) -> None:
    _, saw = at.run("ask", seed=2)
    assert saw["environment"] == []
    files = files_below(at.service.home)
    assert len(files) > 100
    assert files_with(files, SECRET) == []


def test_catalogue_when_a_plug_in_is_announced_then_its_kind_needs_and_cost_are_there(at: Witness) -> None:
    with at.service.http as http:
        methods = {item["name"]: item for item in http.get("/v1/methods?kind=notes").json()["items"]}
        body = {"dataset": at.notes, "method": "look"}
        cost = http.post("/v1/jobs?validate_only=true", json=body).json()["cost"]
    assert (methods["look"]["needs"], methods["ask"]["needs"]) == ([], ["llm"])
    assert cost == {"seconds": 2.5, "memory_mb": 1024, "judging": {"seconds": None, "memory_mb": None}}
