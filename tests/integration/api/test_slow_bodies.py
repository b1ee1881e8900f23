"""Bodies that come too slowly: the gate itself with a client that stalls or drips."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from app.api.middleware import Gate
from tests.integration.api.conftest import file_settings


async def reading(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads its whole body."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def status_of(settings: Any, receive: Callable[[], Awaitable[dict[str, Any]]]) -> tuple[int, str]:
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/datasets",
        "raw_path": b"/v1/datasets",
        "query_string": b"",
        "headers": [],
    }

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Gate(reading, settings)(scope, receive, send))
    body = sent[-1]["body"]
    return sent[0]["status"], json.loads(body)["code"] if body else ""


def test_body_when_it_stalls_then_408(tmp_path: Path) -> None:
    pieces = iter([{"type": "http.request", "body": b"x" * 5000, "more_body": True}])

    async def receive() -> dict[str, Any]:
        piece = next(pieces, None)
        if piece is None:
            await asyncio.sleep(60)
        return piece or {}

    assert status_of(file_settings("", tmp_path, body_stall_s=0.2), receive) == (408, "request_timeout")


def test_body_when_it_drips_then_408(tmp_path: Path) -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    assert status_of(file_settings("", tmp_path, body_stall_s=0.2), receive) == (408, "request_timeout")


def test_body_when_slow_but_steady_then_taken(tmp_path: Path) -> None:
    pieces = iter([True] * 8 + [False])

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x" * 500, "more_body": next(pieces)}

    assert status_of(file_settings("", tmp_path, body_stall_s=0.2), receive) == (200, "")
