"""Latency of the API under 50 clients, on the embedded service with its worker idle.

Run: `python -m benchmarks.api [--clients 50] [--requests 1000]`. Every client keeps its connection. `polling`: each
client asks once a second, as one that waits for a job does. `saturated`: each asks again as soon as it has its answer,
which gives the most requests a second (the clients take a share of the same cores). `POST /v1/jobs` is measured with
`validate_only` (all checks, nothing stored) and for real (each one a new job).
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from benchmarks.record import write
from tests.planted import planted_csv
from tests.service import Service


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=1000)
    given = parser.parse_args()
    unlimited = {"queue_limit": 0, "queue_total_limit": 0, "rate_limit_per_s": 0}
    with tempfile.TemporaryDirectory() as folder, Service(warm_spare="false", **unlimited) as service:
        dataset = service.client.datasets.upload(str(planted_csv(Path(folder) / "p.csv")), kind="interactions")
        figures = asyncio.run(measure(service, dataset.reference, given.clients, given.requests))
    write("api", {"clients": given.clients, "requests": given.requests, **figures}, ("fastapi", "uvicorn", "httpx"))


async def measure(service: Service, dataset: str, clients: int, requests: int) -> dict[str, Any]:
    """p50, p99 in ms and requests per second of each kind of request."""
    bare = service.http
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=bare.base_url, headers=bare.headers, limits=limits, timeout=60) as http:
        body = {"method": "random-users", "dataset": dataset, "params": {"budget": 20}}
        first = (await http.post("/v1/jobs", json=body)).json()["id"]
        await asyncio.to_thread(service.client.job(first).wait)
        seeds = iter(range(1, 10**6))
        kinds: dict[str, Callable[[], Any]] = {
            "healthz": lambda: http.get("/healthz"),
            "get_job": lambda: http.get(f"/v1/jobs/{first}"),
            "list_jobs_50": lambda: http.get("/v1/jobs", params={"page_size": 50}),
            "validate_job": lambda: http.post("/v1/jobs", params={"validate_only": True}, json=body),
            "post_job": lambda: http.post("/v1/jobs", json={**body, "seed": next(seeds), "priority": -10}),
        }
        figures: dict[str, Any] = {}
        for name, ask in kinds.items():
            count = min(requests, 500) if name == "post_job" else requests
            figures[name] = {
                "polling": await load(ask, clients, count, pause_s=1.0),
                "saturated": await load(ask, clients, count),
            }
        return figures


async def load(ask: Callable[[], Any], clients: int, requests: int, *, pause_s: float = 0.0) -> dict[str, float]:
    """Let `clients` send `requests` in all; each starts a request every `pause_s`, or as fast as it gets answers."""
    times: list[float] = []

    async def client(number: int) -> None:
        await asyncio.sleep(pause_s * number / clients)
        while len(times) < requests:
            began = time.perf_counter()
            answer = await ask()
            times.append(time.perf_counter() - began)
            answer.raise_for_status()
            await asyncio.sleep(max(0.0, pause_s - times[-1]))

    started = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    seconds = time.perf_counter() - started
    cuts = statistics.quantiles(times, n=100)
    return {
        "p50_ms": round(1000 * cuts[49], 1),
        "p99_ms": round(1000 * cuts[98], 1),
        "requests_per_s": round(len(times) / seconds, 1),
    }


if __name__ == "__main__":
    main()
