"""A running service under attack: what it holds, how an attack is sent, and what must be true of every refusal."""

from __future__ import annotations

import hashlib
import re
import socket
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from tests.service import Service

REFUSED_CPU_S = 2.0  # beyond what a harmless upload takes: says the same on a busy machine as on an idle one
REFUSED_WALL_S = 20.0  # a guard only: other work on the machine counts here
GROWTH_MB = 200.0
EVALUATE = {"learners": ["popularity", "ease"], "bootstrap": 100, "draws": 1}


@dataclass
class Fort:
    """The service, what is stored in it, and the cost of reading a harmless upload."""

    service: Service
    url: str
    key: str
    harmless: dict[str, float] = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)
    things: dict[str, str] = field(default_factory=dict)

    def request(self, verb: str, path: str, *, key: str | None = None, **options: Any) -> httpx.Response:
        """One request with a key (the first one unless another is given; "" for none)."""
        given = self.key if key is None else key
        headers = {**({"Authorization": f"Bearer {given}"} if given else {}), **options.pop("headers", {})}
        return httpx.request(verb, self.url + path, headers=headers, timeout=60, **options)

    def upload(self, files: dict[str, bytes], *, name: str = "upload", key: str | None = None, **fields: Any) -> str:
        """A dataset of these files, committed; the id of its ingest job."""
        body = {"name": name, "kind": "interactions", **fields}
        dataset = self.request("POST", "/v1/datasets", json=body, key=key).raise_for_status().json()["id"]
        for path, content in files.items():
            self.request("PUT", f"/v1/datasets/{dataset}/files/{path}", content=content, key=key).raise_for_status()
        commit = self.request("POST", f"/v1/datasets/{dataset}/commit", key=key)
        return commit.raise_for_status().json()["job"]["id"]

    def ended(self, job_id: str, seconds: float = 120, *, key: str | None = None) -> dict[str, Any]:
        """The job once it has ended."""

        def job() -> dict[str, Any] | None:
            view = self.request("GET", f"/v1/jobs/{job_id}", key=key).raise_for_status().json()
            return view if view["state"] in ("succeeded", "failed", "cancelled") else None

        return Service.wait(job, seconds, f"{job_id} to end", every_s=0.1)

    def refused(self, files: dict[str, bytes], *codes: str, **fields: Any) -> dict[str, Any]:
        """Upload what must be refused with one of these codes, within the limits on time and memory."""
        job = self.ended(self.upload(files, **fields))
        assert job["state"] == "failed", job
        error, cost = job["error"], job["cost"]
        assert error["code"] in codes, error
        assert job["attempt"] == 1, "a refusal is an answer, not a crash to be tried again"
        took = datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["started_at"])
        cpu_s, growth_mb = (cost[name] - self.harmless[name] for name in ("cpu_s", "peak_rss_mb"))
        print(f"{error['code']}: {took.total_seconds():.1f} s, {cpu_s:+.1f} s CPU, {growth_mb:+.0f} MB")
        assert cpu_s < REFUSED_CPU_S
        assert took.total_seconds() < REFUSED_WALL_S
        assert growth_mb < GROWTH_MB
        return error

    def raw(self, data: bytes, *, seconds: float = 20.0) -> bytes:
        """Send bytes as they are, and read until the server closes."""
        with closing(self.connect(seconds)) as connection:
            got = b""
            try:
                connection.sendall(data)
                while chunk := connection.recv(65_536):
                    got += chunk
            except (ConnectionResetError, BrokenPipeError):
                pass  # it closed while there was more to read
            return got

    def connect(self, seconds: float = 20.0) -> socket.socket:
        """A bare connection."""
        where = urlsplit(self.url)
        return socket.create_connection((where.hostname or "", where.port or 0), timeout=seconds)

    def environment(self, part: str = "api") -> dict[str, str]:
        """The settings a part was started with."""
        return psutil.Process(self.service.pid(part)).environ()

    def snapshot(self) -> dict[str, str]:
        """A hash of everything that was stored before the attacks."""
        kept = {}
        for path in self.stored or _paths(self.things):
            answer = self.request("GET", path)
            assert answer.status_code == 200, (path, answer.status_code)
            kept[path] = hashlib.sha256(answer.content).hexdigest()
        return kept

    def server_errors(self) -> dict[str, float]:
        """Answers above 499 since the API started, by route."""
        text = self.request("GET", "/metrics").text
        found = re.findall(r'^(distillery_http_requests_total\{.*status="5\d\d".*\}) (\S+)', text, re.MULTILINE)
        return {name: float(count) for name, count in found if float(count)}

    def incarnations(self) -> dict[str, tuple[int, int]]:
        """Process and number of restarts of each part."""
        return {name: (part["pid"], part["restarts"]) for name, part in self.service.state()["parts"].items()}


def settle(fort: Fort, csv: bytes) -> None:
    """Store what the attacks must not touch: a dataset, its version, a summary, a report."""
    ingest = fort.ended(fort.upload({"clicks.csv": csv}))
    assert ingest["state"] == "succeeded", ingest["error"]
    fort.harmless = {name: ingest["cost"][name] for name in ("cpu_s", "peak_rss_mb")}
    fort.things = finished_job(fort, ingest["dataset"])
    fort.stored = fort.snapshot()


def finished_job(fort: Fort, dataset: str, *, key: str | None = None, **fields: Any) -> dict[str, str]:
    """Run a quick job; the ids of all that came of it, by the names that paths give them."""
    body = {"method": "head-users", "dataset": dataset, "params": {"budget": 20}, "evaluate": EVALUATE, **fields}
    answer = fort.request("POST", "/v1/jobs", json=body, key=key)
    assert answer.status_code == 202, answer.text
    made = answer.json()["id"]
    job = fort.ended(made, key=key)
    assert job["state"] == "succeeded", job["error"]
    dataset_id, _, number = dataset.partition("@")
    return {
        "dataset_id": dataset_id,
        "number": number,
        "job_id": made,
        "summary_id": job["result"]["summary"],
        "report_id": job["result"]["report"],
    }


def _paths(things: dict[str, str]) -> list[str]:
    version = f"/v1/datasets/{things['dataset_id']}/versions/{things['number']}"
    summary, report = f"/v1/summaries/{things['summary_id']}", f"/v1/reports/{things['report_id']}"
    file = f"/v1/datasets/{things['dataset_id']}/files/clicks.csv"
    return [version, f"{version}/preview", summary, f"{summary}/download", report, f"{report}.html", file]


def wait_until(condition: Any, seconds: float, what: str) -> None:
    """Poll until it holds."""
    Service.wait(condition, seconds, what)


def seconds_of(work: Any) -> float:
    """How long a call takes."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun
