"""What a quiet tenant feels of a loud one: its latency alone, and beside 32 connections that ask without a pause.

Run: `python -m benchmarks.neighbours [--connections 32] [--requests 300] [--rounds 3]`. The loud one asks an embedded
service for a job, from a process of its own; the quiet one has one connection and asks who it is fifty times a second.
Rounds alternate, so that the ratio holds whatever else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import insert

from app.store.api_keys import create_key
from app.store.ids import new_id
from app.store.tables import tenant
from benchmarks.api import UNLIMITED, Round, Target, figures, load
from benchmarks.record import write
from tests.faults.invariants import database
from tests.planted import planted_csv
from tests.service import Service

PAUSE_S = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Service(**UNLIMITED) as service:
        loud = Target(service, planted_csv(Path(folder) / "planted.csv"))
        ask = (
            f"GET /v1/me HTTP/1.1\r\nHost: quiet\r\nAuthorization: Bearer {key_of_another(service)}\r\n\r\n"
        ).encode()
        rounds: dict[str, list[Round]] = {"alone": [], "beside": []}
        for _ in range(given.rounds):
            rounds["alone"].append(quiet(loud.address, ask, given.requests))
            with shouting(loud.address, loud.asks["get_job"](), given.connections):
                rounds["beside"].append(quiet(loud.address, ask, given.requests))
    found = {name: figures(measured) for name, measured in rounds.items()}
    ratio = round(found["beside"]["p99_ms"] / found["alone"]["p99_ms"], 2)
    about = {"connections": given.connections, "requests": given.requests, "rounds": given.rounds}
    write("neighbours", {**about, **found, "p99_ratio": ratio}, ("fastapi", "uvicorn"))


def key_of_another(service: Service) -> str:
    """A key of a tenant that has nothing."""
    with database(service) as conn:
        other = new_id("ten")
        conn.execute(insert(tenant).values(id=other, name="quiet"))
        return create_key(conn, other, name="quiet", scopes=["jobs:read"])[1]


def quiet(address: tuple[str, int], ask: bytes, requests: int) -> Round:
    """One client that asks now and then."""
    return asyncio.run(load(address, lambda: ask, 1, requests, PAUSE_S))[0]


@contextmanager
def shouting(address: tuple[str, int], ask: bytes, connections: int) -> Iterator[None]:
    """Another tenant that asks as fast as it gets answers, for as long as the block runs."""
    process = multiprocessing.get_context("spawn").Process(target=shout, args=(address, ask, connections), daemon=True)
    process.start()
    time.sleep(2.0)
    try:
        yield
    finally:
        process.kill()
        process.join()


def shout(address: tuple[str, int], ask: bytes, connections: int) -> None:
    """Until it is killed."""
    asyncio.run(load(address, lambda: ask, connections, 10**9, 0.0))


if __name__ == "__main__":
    main()
