"""Latency of the API under 50 clients, on the embedded service with its worker idle.

Run: `python -m benchmarks.api [--clients 50] [--requests 1000] [--rounds 3] [--against FOLDER]`. Every client keeps its
connection. `polling`: each client asks once a second, as one that waits for a job does. `saturated`: each asks again as
soon as it has its answer, which gives the most requests a second. `POST /v1/jobs` is measured with `validate_only` (all
checks, nothing stored) and for real: each one is a new job, which the worker takes on the same cores; those that still
wait when a round is over are cancelled.

`--against`: a checkout of an earlier revision. It is served beside this one and measured in turn with it, round by
round, so that the ratios hold whatever else the machine does. The clients are bare sockets, which take about a tenth of
a millisecond a request; an HTTP library for Python takes more than the service does.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.record import write
from tests.planted import planted_csv
from tests.service import Service

UNLIMITED = {"queue_limit": 0, "queue_total_limit": 0, "rate_limit_per_s": 0, "warm_spare": "false"}
Found = dict[str, dict[str, dict[str, float]]]
KINDS = ("healthz", "get_job", "list_jobs_50", "validate_job", "post_job")
PAUSES = {"polling": 1.0, "saturated": 0.0}  # seconds from one request of a client to its next


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--only", choices=KINDS, nargs="+", default=KINDS)
    given = parser.parse_args()
    codes = {"this": None} | ({"against": given.against.resolve()} if given.against else {})
    with ExitStack() as stack:
        data = planted_csv(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "planted.csv")
        targets = {
            name: Target(stack.enter_context(Service(code=code, **UNLIMITED)), data) for name, code in codes.items()
        }
        found: dict[str, Any] = {name: {kind: {} for kind in given.only} for name in targets}
        for kind, way in itertools.product(given.only, PAUSES):
            rounds: dict[str, list[Round]] = {name: [] for name in targets}
            count = min(given.requests, 500) if kind == "post_job" else given.requests
            for _ in range(given.rounds):
                for name, target in targets.items():
                    rounds[name].append(target.measured(kind, given.clients, count // given.rounds, PAUSES[way]))
            for name in targets:
                found[name][kind][way] = figures(rounds[name])
    if given.against:
        found["ratio"] = ratios(found["this"], found["against"])
        named = ["git", "-C", given.against, "rev-parse", "--short", "HEAD"]
        found["against"]["revision"] = subprocess.run(named, capture_output=True, text=True, check=True).stdout.strip()
    about = {name: getattr(given, name) for name in ("clients", "requests", "rounds")}
    write("api", {**about, **found}, ("fastapi", "uvicorn"))


@dataclass(frozen=True)
class Round:
    """What one round of a load took: the seconds of every request, and of all together."""

    each_s: list[float]
    all_s: float


class Target:
    """A running service with a finished job to ask for."""

    def __init__(self, service: Service, data: Path) -> None:
        client = service.client
        dataset = client.datasets.upload(str(data), kind="interactions").reference
        self.body: dict[str, Any] = {"method": "random-users", "dataset": dataset, "params": {"budget": 20}}
        done = client.run(**self.body)
        done.wait()
        at = urlsplit(str(service.http.base_url))
        self.address = (str(at.hostname), int(at.port or 80))
        self.head = f"Host: {at.netloc}\r\nAuthorization: {service.http.headers['authorization']}\r\n"
        self.seeds = itertools.count(1)
        self.asks: dict[str, Callable[[], bytes]] = {
            "healthz": lambda: self.request("GET", "/healthz"),
            "get_job": lambda: self.request("GET", f"/v1/jobs/{done.id}"),
            "list_jobs_50": lambda: self.request("GET", "/v1/jobs?page_size=50"),
            "validate_job": lambda: self.request("POST", "/v1/jobs?validate_only=true", self.body),
            "post_job": lambda: self.request("POST", "/v1/jobs", {**self.body, "seed": next(self.seeds)}),
        }

    def request(self, verb: str, path: str, body: Any = None) -> bytes:
        """The bytes of one request."""
        sent = b"" if body is None else json.dumps(body).encode()
        kind = "" if body is None else "Content-Type: application/json\r\n"
        return f"{verb} {path} HTTP/1.1\r\n{self.head}{kind}Content-Length: {len(sent)}\r\n\r\n".encode() + sent

    def measured(self, kind: str, clients: int, requests: int, pause_s: float) -> Round:
        """One round; the jobs that it made and no worker has taken are cancelled after it."""
        took, answers = asyncio.run(load(self.address, self.asks[kind], clients, requests, pause_s))
        if kind == "post_job":
            made = iter([json.loads(body)["id"] for body in answers])
            asyncio.run(
                load(self.address, lambda: self.request("POST", f"/v1/jobs/{next(made)}/cancel"), 4, requests, 0)
            )
        return took


async def load(
    address: tuple[str, int],
    ask: Callable[[], bytes],
    clients: int,
    requests: int,
    pause_s: float,
    *,
    refusals: bool = False,
) -> tuple[Round, list[bytes]]:
    """Let `clients` send `requests` in all; each starts a request every `pause_s`, or as fast as it gets answers.

    `refusals`: 429 is an answer, too; the answers are not kept then.
    """
    times: list[float] = []
    answers: list[bytes] = []
    left = iter(range(requests))

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection(*address)
        await asyncio.sleep(pause_s * number / clients)
        for _ in left:
            began = time.perf_counter()
            writer.write(ask())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            answer = await reader.readexactly(size)
            times.append(time.perf_counter() - began)
            assert head.startswith(b"http/1.1 2") or (refusals and head.startswith(b"http/1.1 429")), (head, answer)
            if not refusals:
                answers.append(answer)
            await asyncio.sleep(max(0.0, pause_s - times[-1]))
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return Round(times, time.perf_counter() - started), answers


def figures(rounds: list[Round]) -> dict[str, float]:
    """p50 and p99 in ms over all requests, and requests a second over all rounds."""
    times = [second for one in rounds for second in one.each_s]
    cuts = statistics.quantiles(times, n=100)
    return {
        "p50_ms": round(1000 * cuts[49], 1),
        "p99_ms": round(1000 * cuts[98], 1),
        "requests_per_s": round(len(times) / sum(one.all_s for one in rounds), 1),
    }


def ratios(this: Found, against: Found) -> Found:
    """Each figure of this revision over that of the other one."""
    return {
        kind: {
            way: {name: round(value / against[kind][way][name], 2) for name, value in one.items()}
            for way, one in ways.items()
        }
        for kind, ways in this.items()
    }


if __name__ == "__main__":
    main()
