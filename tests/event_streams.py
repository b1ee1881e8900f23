"""Many clients that follow one job over sockets of their own, as browsers and programs do; for tests and benchmarks."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

CROWDED = {
    "open_streams": 600,
    "open_streams_total": 1200,
    "open_requests": 600,
    "open_requests_total": 1200,
    "rate_limit_per_s": 0,
}
"""Settings of a service that lets one tenant have so many streams."""


@dataclass
class Follower:
    """One connection and what came over it."""

    head: bytes = b""
    heartbeats: int = 0
    events: Counter[str] = field(default_factory=Counter[str])
    last_at: float = 0.0
    closed: bool = False


class Crowd:
    """`count` open event streams of one job; an asynchronous context manager."""

    def __init__(self, port: int, authorization: str, job_id: str, count: int) -> None:
        self._port = port
        self._request = (
            f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n"
            "Accept: text/event-stream\r\n\r\n"
        ).encode()
        self.followers = [Follower() for _ in range(count)]
        self._tasks: list[asyncio.Task[None]] = []
        allow_open_files(2 * count + 200)

    async def __aenter__(self) -> Crowd:
        self._tasks = [asyncio.create_task(self._follow(follower)) for follower in self.followers]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def all_have(self, what: str, seconds: float) -> float:
        """Wait until every follower has had an event of this type (`:` is a heartbeat); seconds until the last had."""
        begun = time.monotonic()
        while (left := [f for f in self.followers if not (f.heartbeats if what == ":" else f.events[what])]) != []:
            for task in self._tasks:
                if task.done() and not task.cancelled() and (error := task.exception()):
                    raise error
            waited = time.monotonic() - begun
            assert waited < seconds, (
                f"{len(left)} of {len(self.followers)} have no {what} after {waited:.0f} s: {left[0]}"
            )
            await asyncio.sleep(0.02)
        return time.monotonic() - begun

    async def _follow(self, follower: Follower) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(self._request)
            follower.head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in follower.head.split(b"\r\n")[0], follower.head
            async for line in reader:
                if line.startswith(b":"):
                    follower.heartbeats += 1
                elif line.startswith(b"event: "):
                    follower.events[line[7:].strip().decode()] += 1
                    follower.last_at = time.monotonic()
            follower.closed = True
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def allow_open_files(count: int) -> None:
    """Raise this process's limit on open files when it is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, hard)))
