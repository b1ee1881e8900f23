"""What the routes of one API process share: settings, database, files, events."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from sqlalchemy import Connection, Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app.api.events import EventHub
from app.api.known_keys import KnownKeys
from app.api.metrics import Metrics
from app.api.places import Places
from app.api.room import Room, no_import_slot, too_many_requests, too_many_streams
from app.settings import Settings
from app.store.blobs import Blobs
from app.store.database import at_once, open_engine
from app.store.disk import short_of_disk
from app.store.open_blobs import open_blobs, open_direct

if TYPE_CHECKING:
    from app.store.direct import Direct

T = TypeVar("T")
P = ParamSpec("P")
_FILE_THREADS = 32  # of 40 that there are for everything but the database
_FILE_SHARE = 8
_TOUCH_EVERY_S = 60.0


@dataclass
class Services:
    """Opened when the process starts to serve, closed when it stops.

    `places` admits no more transactions than there are connections, so that no thread ever waits for one: threads
    that wait for connections held by requests that wait for threads would stand still together. `requests` and
    `streams` bound what is open, so that /healthz and /readyz, which count nowhere, always find a connection.
    """

    settings: Settings
    engine: Engine
    blobs: Blobs
    direct: Direct | None
    events: EventHub
    metrics: Metrics
    stopping: asyncio.Event
    places: Places
    threads: CapacityLimiter
    files: Places
    requests: Room
    streams: Room
    imports: Room
    keys: KnownKeys = field(default_factory=KnownKeys)
    _touched: dict[str, float] = field(default_factory=dict[str, float])
    _touching: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, settings: Settings, metrics: Metrics, stopping: asyncio.Event) -> Services:
        """Connects to nothing yet: the process starts even while the database is away."""
        engine = open_engine(settings.database_url, pool=settings.database_pool, statement_s=settings.statement_s)
        return cls(
            settings=settings,
            engine=engine,
            blobs=open_blobs(settings),
            direct=open_direct(settings),
            events=EventHub(engine),
            metrics=metrics,
            stopping=stopping,
            places=Places(2 * settings.database_pool, settings.requests_at_once),
            threads=CapacityLimiter(2 * settings.database_pool),
            files=Places(_FILE_THREADS, _FILE_SHARE),
            requests=Room(settings.open_requests_total, settings.open_requests, too_many_requests),
            streams=Room(settings.open_streams_total, settings.open_streams, too_many_streams),
            imports=Room(settings.import_slots, max(1, settings.import_slots // 2), no_import_slot, no_import_slot),
        )

    def close(self) -> None:
        """Give connections back."""
        self.events.stop()
        self.engine.dispose()

    async def in_transaction(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a thread inside a transaction of its own; committed when this returns."""

        def run() -> T:
            with self.engine.begin() as conn:
                return work(conn)

        async with self.places.visit():
            return await run_sync(run, limiter=self.threads)

    async def reading(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads, in a thread: each of its statements by itself, without BEGIN and COMMIT."""

        def run() -> T:
            with at_once(self.engine) as conn:
                return work(conn)

        async with self.places.visit():
            return await run_sync(run, limiter=self.threads)

    async def on_files(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Run `work`, which may take long, in a thread: a tenant has a share of these, too, and they are not those of
        transactions."""
        async with self.files.visit():
            return await run_in_threadpool(work, *given, **named)

    def due_for_touch(self, key_id: str) -> bool:
        """Whether the use of a key should be noted now: once a minute per process, so that reads stay reads."""
        now = time.monotonic()
        with self._touching:
            if now - self._touched.get(key_id, -_TOUCH_EVERY_S) < _TOUCH_EVERY_S:
                return False
            self._touched[key_id] = now
            return True

    def short_of_disk(self) -> bool:
        """Whether uploads must wait: see `app.store.disk.short_of_disk`."""
        return short_of_disk(self.settings.blob_dir, self.settings.disk_reserve_bytes)


def services_of(request: Request) -> Services:
    """The services of the process that answers this request."""
    return request.app.state.services
