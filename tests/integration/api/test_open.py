"""What is held open: streams by the hundred, answers that nobody reads; others and the health of the process go on."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import httpx2
import psutil
import pytest
from sqlalchemy import Engine

from app.settings import Settings
from tests.event_streams import allow_open_files
from tests.integration.api.conftest import Api, new_tenant
from tests.integration.api.test_live import Live, home  # noqa: F401 - a fixture
from tests.service import Service

Home = tuple[Settings, Engine]
STALL_S = 1.0


@pytest.fixture(scope="module")
def live(home: Home) -> Iterator[Live]:  # noqa: F811
    process = Live(home[0], body_stall_s=STALL_S, open_streams=60, open_streams_total=150, connections_per_address=0)
    try:
        yield process
    finally:
        process.close()


@pytest.fixture
def tenants(live: Live, home: Home) -> Iterator[list[Api]]:  # noqa: F811
    with httpx2.Client(base_url=live.url, timeout=30) as http:
        yield [new_tenant(http, home[1], home[0]) for _ in range(4)]


def bytes_of(api: Api, path: str, accept: str = "*/*") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\nAccept: {accept}\r\n\r\n".encode()


def test_streams_when_hundreds_are_wanted_then_each_tenant_has_its_share_and_health_is_answered(
    live: Live, tenants: list[Api]
) -> None:
    allow_open_files(2000)
    greedy, second, third, quiet = tenants
    asks = {api.tenant_id: bytes_of(api, f"/v1/jobs/{api.job()['id']}/events", "text/event-stream") for api in
            (greedy, second, third, quiet)}  # fmt: skip
    also = greedy.as_key("jobs:read")
    with_other_key = asks[greedy.tenant_id].replace(greedy.token.encode(), also.token.encode())
    held: list[asyncio.StreamWriter] = []

    async def opened(ask: bytes) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
        held.append(writer)
        writer.write(ask)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        return int(head.split()[1]), await reader.read(2000) if b" 200 " not in head.split(b"\r\n")[0] else b""

    async def crowd(*wanted: bytes) -> Counter[int]:
        answers = await asyncio.gather(*map(opened, wanted))
        for status, body in answers:
            assert status != 429 or b"too_many_open" in body or b"rate_limited" in body
        return Counter(status for status, _ in answers)

    async def leave() -> None:
        for writer in held:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in held), return_exceptions=True)
        held.clear()

    async def held_open() -> None:
        first = await crowd(*[asks[greedy.tenant_id], with_other_key] * 150)
        assert first == {200: 60, 429: 240}, "two keys of a tenant have one share"
        assert await crowd(*[asks[second.tenant_id]] * 100) == {200: 45, 503: 55}
        assert await crowd(*[asks[third.tenant_id]] * 100) == {200: 23, 503: 77}
        async with httpx2.AsyncClient(base_url=live.url, timeout=20) as http:
            for _ in range(20):
                assert (await http.get("/healthz")).status_code == 200
                assert (await http.get("/readyz")).status_code == 200
                mine = await http.get("/v1/me", headers={"Authorization": f"Bearer {quiet.token}"})
                assert mine.status_code == 200
        assert await crowd(asks[quiet.tenant_id]) == {200: 1}, "who comes last still finds room for a stream"
        job_id = asks[greedy.tenant_id].split(b"/")[3].decode()
        begun = time.monotonic()
        polled = await asyncio.to_thread(greedy.get, f"/v1/jobs/{job_id}", headers={"Prefer": "wait=25"})
        assert polled.status_code == 200, "without a stream it polls: no wait is held where no stream is"
        assert time.monotonic() - begun < 20
        await leave()
        give_up = time.monotonic() + 30
        while await crowd(asks[greedy.tenant_id]) != {200: 1}:
            assert time.monotonic() < give_up, "what ended leaves room"
            await asyncio.sleep(0.1)
        await leave()

    asyncio.run(held_open())


def large_file(api: Api, size: int) -> str:
    dataset = api.dataset()["id"]
    path = f"/v1/datasets/{dataset}/files/large.bin"
    assert api.put(path, content=bytes(size)).status_code == 201
    return path


def test_download_when_nobody_reads_it_then_its_connection_is_cut(live: Live, tenants: list[Api]) -> None:
    api = tenants[0]
    path = large_file(api, 30_000_000)
    process = psutil.Process(live.process.pid)

    def to_readers() -> int:
        return sum(bool(one.raddr) and one.raddr.port in ports for one in process.net_connections("tcp"))

    with closing(socket.create_connection(("127.0.0.1", live.port))) as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ports = {stalled.getsockname()[1]}
        stalled.sendall(bytes_of(api, path))
        Service.wait(to_readers, 10, "the download to begin")
        Service.wait(lambda: not to_readers(), 10 * STALL_S + 20, "the connection to be cut")
    assert api.get(path).status_code == 200


def test_download_when_read_slowly_but_steadily_then_whole(live: Live, tenants: list[Api]) -> None:
    api = tenants[0]
    path = large_file(api, 5_000_000)
    with closing(socket.create_connection(("127.0.0.1", live.port))) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        slow.sendall(bytes_of(api, path))
        got, begun = 0, time.monotonic()
        while got < 5_000_000 and (piece := slow.recv(8192)):
            got += len(piece)
            if time.monotonic() - begun < 4 * STALL_S:
                time.sleep(0.04)  # some 200 kB/s
    assert got >= 5_000_000
