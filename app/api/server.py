"""uvicorn as we run it: h11 only, a time limit on request headers, and a stop that streams hear of at once."""

from __future__ import annotations

import asyncio
import fcntl
import json
import socket
import sys
import termios
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.api.middleware import LEAST_BYTES_PER_S
from app.api.problems import fallback_hint
from app.settings import Settings


class TimedH11Protocol(H11Protocol):
    """Closes a connection that has not sent a whole request head within `header_s` of connecting or of the last
    answer, and one whose client takes less than 1 kB/s of an answer for `stall_s`. uvicorn alone waits for ever for a
    client that dribbles or does not read. Closes one at once when its address has `per_address` open already (0: no
    limit), so that one client cannot take all that the process has."""

    header_s = 10.0
    stall_s = 30.0
    per_address = 0
    open_of: ClassVar[Counter[str]] = Counter()
    _timer: asyncio.TimerHandle | None = None
    _reader_timer: asyncio.TimerHandle | None = None
    _address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected: its time runs."""
        super().connection_made(transport)
        self._address = str((transport.get_extra_info("peername") or ("",))[0])
        self.open_of[self._address] += 1
        if self.per_address and self.open_of[self._address] > self.per_address:
            transport.abort()
            return
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went."""
        self._stop_timer()
        self._stop_watching()
        self.open_of[self._address] -= 1
        if self.open_of[self._address] <= 0:
            del self.open_of[self._address]
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """After a request head was parsed, other limits take over (see `app.api.middleware`)."""
        super().handle_events()
        if self._answering():
            self._stop_timer()

    def on_response_complete(self) -> None:
        """An answer is complete: the time for the next request head runs."""
        self._start_timer()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not read as fast as we write: now it is watched."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """It has read what was written."""
        self._stop_watching()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are not HTTP, as a problem document like every other refusal."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()  # an answer has begun: nothing more can be said on this connection
            return
        host, port = self.server or ("localhost", 0)
        document = {
            "type": f"{self.scheme}://{host}:{port}/problems/malformed_request",
            "title": "Malformed request",
            "status": 400,
            "detail": msg,
            "code": "malformed_request",
            "errors": [],
            "hint": fallback_hint("malformed_request"),
        }
        headers = [(b"content-type", b"application/problem+json"), (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=json.dumps(document).encode()),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.header_s, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if not self._answering() and not self.transport.is_closing():
            self._leave()

    def _watch_reader(self) -> None:
        self._stop_watching()
        self._reader_timer = self.loop.call_later(self.stall_s, self._see_what_was_read, self._unread())

    def _see_what_was_read(self, unread: int) -> None:
        if unread - self._unread() < LEAST_BYTES_PER_S * self.stall_s:
            self.transport.abort()
        else:
            self._watch_reader()

    def _unread(self) -> int:
        """Bytes that the client's machine has not acknowledged: ours, and the kernel's, which may be megabytes."""
        of_kernel = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return self.transport.get_write_buffer_size() + int.from_bytes(of_kernel, sys.byteorder)

    def _stop_watching(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _leave(self) -> None:
        # `close` first waits until everything was read, which may be never.
        self.transport.abort() if self.transport.get_write_buffer_size() else self.transport.close()


class Server(uvicorn.Server):
    """Tells the application that it is being stopped as soon as the signal comes.

    uvicorn runs the lifespan's end only after every connection is closed, which an open event stream never is.
    """

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stop = on_stop
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: Any = None) -> None:
        """Remember the loop that the stop must be told on."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal handler: hand the news to the loop, which may be asleep."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._on_stop)
        super().handle_exit(sig, frame)


def configure(app: Any, settings: Settings) -> uvicorn.Config:
    """The limits on connections."""
    limits = {
        "header_s": settings.header_s,
        "stall_s": settings.body_stall_s,
        "per_address": settings.connections_per_address,
    }
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=type("Protocol", (TimedH11Protocol,), {**limits, "open_of": Counter[str]()}),
        ws="none",
        h11_max_incomplete_event_size=16_384,
        limit_concurrency=1000,
        timeout_graceful_shutdown=20,
        access_log=False,
        log_config=None,  # its lines go where all lines go: see app.logs
        server_header=False,
    )


def inherited(settings: Settings) -> list[socket.socket] | None:
    """The listening socket that whoever started this process keeps; None when the API is to open its own.

    uvicorn's own `fd` takes every socket for a Unix one, which leaves the algorithm of Nagle on.
    """
    if settings.listen_fd < 0:
        return None
    listener = socket.socket(fileno=settings.listen_fd)
    listener.set_inheritable(False)
    return [listener]
