"""A running service with the plug-ins `notes` and `misbehave`, and small data to start their methods on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.plugins import python_path
from tests.service import Service

QUICK = {
    "lease_s": 4, "heartbeat_s": 0.5, "reap_every_s": 0.5, "reap_grace_s": 0.5, "republish_s": 2, "threads": 1,
    "retry_pause_s": 0.2,
}  # fmt: skip
# Python runs a file of this name at the start of every process that has its folder on PYTHONPATH.
_SITECUSTOMIZE = """
import sys

if {{"worker.main", "worker.runtime.child"}} & set(sys.orig_argv):
    {statement}
"""


def in_workers(folder: Path, statement: str) -> Path:
    """A folder for PYTHONPATH that lets workers and their children, and nobody else, begin with this statement."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE.format(statement=statement))
    return folder


@contextmanager
def misbehaving(*more_paths: Path, before: Any = None, **settings: object) -> Iterator[Misbehaving]:
    """The service with short times, the plug-ins, and `more_paths` in front of them on PYTHONPATH.

    `before(service)` is called before it starts.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", python_path("notes", "misbehave", before=more_paths))
        service = Service(**{**QUICK, **settings})
    if before is not None:
        before(service)
    with service, service.http as http:
        yield Misbehaving(service, http)


class Misbehaving:
    """The service, and short ways to its jobs."""

    def __init__(self, service: Service, http: httpx.Client) -> None:
        self.service = service
        self.http = http
        self._notes = ""

    @property
    def notes(self) -> str:
        """A dataset version of the kind that nothing is done with."""
        if not self._notes:
            file = self.service.home / "notes.txt"
            file.write_text("a\nb\n")
            with self.service.client as client:
                self._notes = client.datasets.upload(str(file), kind="notes").reference
        return self._notes

    def start(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> str:
        """The id of a new job."""
        body = {"method": method, "dataset": self.notes, "params": params or {}, "force": True, **more}
        return self.http.post("/v1/jobs", json=body).raise_for_status().json()["id"]

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as the API shows it."""
        return self.http.get(f"/v1/jobs/{job_id}").raise_for_status().json()

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """Its history."""
        answer = self.http.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000})
        return answer.raise_for_status().json()["items"]

    def wait_for(self, job_id: str, *states: str, seconds: float = 60) -> dict[str, Any]:
        """The job once it is in one of these states."""
        Service.wait(lambda: self.job(job_id)["state"] in states, seconds, f"{job_id} to be {' or '.join(states)}")
        return self.job(job_id)

    def finish(self, job_id: str, seconds: float = 60) -> dict[str, Any]:
        """The job once it has ended."""
        return self.wait_for(job_id, "succeeded", "failed", "cancelled", seconds=seconds)
