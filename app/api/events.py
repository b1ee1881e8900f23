"""Job events as they happen: one LISTEN connection per process wakes every stream that follows a job.

A stream keeps no queue of its own. It is woken and reads the rows it lacks from the database, so a slow reader
costs a flag instead of memory, nothing can overflow, and a resumed stream has neither gap nor repeat.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.api.room import Room
from app.jobs.states import TERMINAL
from app.store.database import listening

CHANNEL = "job_event"
BATCH = 500
KEEPALIVE_S = 15.0
RETRY_MS = 2000
UNCACHED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_BYE = format_sse_event(event="bye", data_str="{}", retry=RETRY_MS)
log = structlog.get_logger()


class EventHub:
    """Wakes the followers of a job when Postgres says that it has a new event."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._followers: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to listen, in a thread; called on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._listen, name="job-events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread (within its poll interval)."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    @contextmanager
    def following(self, *job_ids: str) -> Generator[asyncio.Event]:
        """A flag that is set whenever one of the jobs may have new events."""
        flag = asyncio.Event()
        for job_id in job_ids:
            self._followers[job_id].add(flag)
        try:
            yield flag
        finally:
            for job_id in job_ids:
                self._followers[job_id].discard(flag)
                if not self._followers[job_id]:
                    del self._followers[job_id]

    def _listen(self) -> None:
        pause = 0.2
        while not self._stop.is_set():
            try:
                with listening(self._engine, CHANNEL) as connection:
                    pause = 0.2
                    self._tell(None)  # events may have come while nobody listened
                    while not self._stop.is_set():
                        for note in connection.notifies(timeout=0.5):
                            self._tell(note.payload)
            except (psycopg.Error, SQLAlchemyError) as lost:
                log.warning("not_listening_for_events", error=type(lost).__name__)
                self._stop.wait(pause)
                pause = min(5.0, 2 * pause)

    def _tell(self, job_id: str | None) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, job_id)

    def _wake(self, job_id: str | None) -> None:
        flagged = list(self._followers.values()) if job_id is None else [self._followers.get(job_id, set())]
        for flags in flagged:
            for flag in flags:
                flag.set()


class EventStream(StreamingResponse):
    """The answer that is a stream of events; it takes room from its first byte to its end, however that comes."""

    def __init__(self, room: Room, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, headers=UNCACHED, media_type="text/event-stream")
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; `Problem` when there is no room for it."""
        with self._room.entered():
            await super().__call__(scope, receive, send)


class NoLonger(Exception):
    """Whoever follows may not any more: their key was revoked, or has expired."""


@dataclass(frozen=True)
class News:
    """What a follower lacked: events in order, the job's state, and whether there is more to read at once.

    `waiting`: what a queued job waits for.
    """

    events: list[dict[str, Any]]
    state: str
    more: bool
    waiting: dict[str, int] | None = None


def encode_event(event: dict[str, Any]) -> bytes:
    """One event on the wire: id = seq, event = type, data = the item the JSON page has too."""
    return format_sse_event(id=str(event["seq"]), event=event["type"], data_str=json.dumps(item_of(event)))


def item_of(event: dict[str, Any]) -> dict[str, Any]:
    """An event as JSON."""
    return {**event, "at": event["at"].isoformat()}


async def stream_events(
    hub: EventHub, stopping: asyncio.Event, job_id: str, after: int, read: Callable[[int], Awaitable[News]]
) -> AsyncIterator[bytes]:
    """Every event after `after`, then those to come, until the job has ended (`end`) or the process stops (`bye`).

    `waiting` tells what a queued job waits for, whenever that changes; it is no part of its history. `read` is asked
    at least every `KEEPALIVE_S`; when it raises `NoLonger` the stream ends with `bye`, too.
    """
    said = None
    with hub.following(job_id) as flag:
        yield format_sse_event(retry=RETRY_MS)
        while True:
            flag.clear()
            try:
                news = await read(after)
            except NoLonger:
                yield _BYE
                return
            for event in news.events:
                after = event["seq"]
                yield encode_event(event)
            if news.more:
                continue
            if news.state in TERMINAL:
                yield format_sse_event(event="end", data_str=json.dumps({"state": news.state}))
                return
            if news.waiting is not None and news.waiting != said:
                said = news.waiting
                yield format_sse_event(event="waiting", data_str=json.dumps(said))
            if not await woken(flag, stopping, KEEPALIVE_S):
                yield KEEPALIVE_COMMENT  # and look again: a notification may have been lost with its connection
            if stopping.is_set():
                yield _BYE
                return


async def stream_many(
    hub: EventHub,
    stopping: asyncio.Event,
    after: dict[str, int],
    read: Callable[[dict[str, int]], Awaitable[dict[str, News]]],
) -> AsyncIterator[bytes]:
    """As `stream_events`, for several jobs at once. An event says whose it is, and its id how far all of them are."""
    live = dict(after)
    with hub.following(*after) as flag:
        yield format_sse_event(retry=RETRY_MS)
        while True:
            flag.clear()
            try:
                news = await read(live)
            except NoLonger:
                yield _BYE
                return
            for job_id, one in news.items():
                for event in one.events:
                    after[job_id] = live[job_id] = event["seq"]
                    position = ".".join(map(str, after.values()))
                    data = json.dumps({"job": job_id, **item_of(event)})
                    yield format_sse_event(id=position, event=event["type"], data_str=data)
                if one.state in TERMINAL and not one.more:
                    del live[job_id]
            if not live:
                yield format_sse_event(event="end", data_str="{}")
                return
            if any(one.more for one in news.values()):
                continue
            if not await woken(flag, stopping, KEEPALIVE_S):
                yield KEEPALIVE_COMMENT
            if stopping.is_set():
                yield _BYE
                return


async def woken(flag: asyncio.Event, stopping: asyncio.Event, seconds: float) -> bool:
    """Wait until either is set; False when neither was in that time."""
    waiters = [asyncio.ensure_future(flag.wait()), asyncio.ensure_future(stopping.wait())]
    try:
        done, _ = await asyncio.wait(waiters, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
    return bool(done)
