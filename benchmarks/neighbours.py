"""What a quiet tenant feels of a loud one: its latency alone, and beside 32 connections that ask without a pause.

Run: `python -m benchmarks.neighbours [--connections 32] [--keys 8] [--requests 300] [--rounds 3]`. The loud one asks an
embedded service for a job, from a process of its own, with one key and with several; the quiet one has one connection
and asks who it is fifty times a second. `as_shipped` has the default limits, so most of what the loud one asks is
refused; `unlimited` has no limit on requests a second, so that only the sharing of the process is measured. Rounds
alternate, so that the ratios hold whatever else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
SHIPPED = {"warm_spare": "false"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--keys", type=int, default=8)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    about = {name: getattr(given, name) for name in ("connections", "keys", "requests", "rounds")}
    found = {}
    for name, settings in {"as_shipped": SHIPPED, "unlimited": UNLIMITED}.items():
        with tempfile.TemporaryDirectory() as folder, Service(**settings) as service:
            found[name] = measured(service, planted_csv(Path(folder) / "planted.csv"), given)
    write("neighbours", {**about, **found}, ("fastapi", "uvicorn"))


def measured(service: Service, data: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Latencies of the quiet one in each company, and how many times its p99 alone the others are."""
    loud = Target(service, data)
    quiet_ask = ask_with(key_of_another(service))
    asks = [loud.asks["get_job"]()]
    own = service.http.headers["authorization"]
    for _ in range(given.keys):
        made = service.http.post("/v1/api-keys", json={"name": "loud", "scopes": ["jobs:read"]}).raise_for_status()
        asks.append(asks[0].replace(own.encode(), f"Bearer {made.json()['token']}".encode()))
    company: dict[str, list[bytes]] = {"alone": [], "beside_one_key": asks[:1], "beside_keys": asks[1:]}
    rounds: dict[str, list[Round]] = {name: [] for name in company}
    for _ in range(given.rounds):
        for name, of_loud in company.items():
            with shouting(loud.address, of_loud, given.connections):
                rounds[name].append(quiet(loud.address, quiet_ask, given.requests))
    found: dict[str, Any] = {name: figures(each) for name, each in rounds.items()}
    alone = found["alone"]["p99_ms"]
    found["p99_ratios"] = {name: round(found[name]["p99_ms"] / alone, 2) for name in company if name != "alone"}
    return found


def ask_with(token: str) -> bytes:
    """A request of the quiet one."""
    return f"GET /v1/me HTTP/1.1\r\nHost: quiet\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


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
def shouting(address: tuple[str, int], asks: list[bytes], connections: int) -> Iterator[None]:
    """Another tenant that asks as fast as it gets answers, in turn with each of its keys, while the block runs."""
    if not asks:
        yield
        return
    process = multiprocessing.get_context("spawn").Process(target=shout, args=(address, asks, connections), daemon=True)
    process.start()
    time.sleep(2.0)
    try:
        assert process.is_alive()
        yield
        assert process.is_alive()
    finally:
        process.kill()
        process.join()


def shout(address: tuple[str, int], asks: list[bytes], connections: int) -> None:
    """Until it is killed."""
    turns = itertools.cycle(asks)
    asyncio.run(load(address, lambda: next(turns), connections, 10**9, 0.0, refusals=True))


if __name__ == "__main__":
    main()
