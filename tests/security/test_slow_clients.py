"""Clients that take their time: heads and bodies that stall or drip, and too many connections from one address."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing

import httpx
import pytest

from tests.security.conftest import SETTINGS
from tests.security.fort import Fort, wait_until

pytestmark = pytest.mark.security


def closed_after(fort: Fort, first: bytes, drip: bytes = b"") -> tuple[float, bytes]:
    """Seconds until the server closes on a client that sends `first` and then a drop now and then, and its answer."""
    begun, got = time.monotonic(), b""
    with closing(fort.connect(0.2)) as connection:
        connection.sendall(first)
        while time.monotonic() - begun < 30:
            try:
                if drip:
                    connection.sendall(drip)
                    time.sleep(0.2)
                piece = connection.recv(4096)
                if not piece:
                    break
                got += piece
            except TimeoutError:
                continue
            except OSError:
                break
    return time.monotonic() - begun, got


@pytest.mark.parametrize(
    ("first", "drip"),
    [(b"", b""), (b"GET /healthz HTTP/1.1\r\n", b""), (b"GET /healthz HTTP/1.1\r\n", b"X"), (b"\r\n", b"\r\n")],
)
def test_head_when_it_stalls_or_drips_then_cut(fort: Fort, first: bytes, drip: bytes) -> None:
    took, _ = closed_after(fort, first, drip)
    assert took < 10 * SETTINGS["header_s"]


def test_connection_when_idle_after_an_answer_then_cut(fort: Fort) -> None:
    took, got = closed_after(fort, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in got
    assert took < 10 * SETTINGS["header_s"]


@pytest.mark.parametrize("drip", [b"", b"x"])
def test_body_when_it_stalls_or_drips_then_408_and_cut(fort: Fort, drip: bytes) -> None:
    path = f"/v1/datasets/{fort.things['dataset_id']}/files/slow.bin"
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fort.key}\r\nContent-Length: 100000\r\n\r\n"
    took, got = closed_after(fort, head.encode() + b"x" * 100, drip)
    assert got.startswith(b"HTTP/1.1 408"), got
    assert took < 10 * SETTINGS["body_stall_s"]
    assert fort.request("GET", path).status_code == 404


def test_connections_when_one_address_opens_too_many_then_the_surplus_is_cut(fort: Fort) -> None:
    limit = SETTINGS["connections_per_address"]
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(fort.connect(0.3))) for _ in range(limit + 20)]
        alive = 0
        for connection in opened:
            try:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                alive += connection.recv(20).startswith(b"HTTP/1.1 200")
            except OSError:
                continue
        assert limit - 10 <= alive <= limit
    wait_until(lambda: _answers(fort), 10, "new connections to be taken again")


def _answers(fort: Fort) -> bool:
    try:
        return fort.request("GET", "/healthz").status_code == 200
    except httpx.TransportError:
        return False
