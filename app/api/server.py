"""uvicorn as we run it: h11 only, a time limit on request headers, and a stop that streams hear of at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_S = 10.0


class TimedH11Protocol(H11Protocol):
    """Closes a connection that has not sent a whole request head within `header_s` of connecting or of the last
    answer. uvicorn alone waits for ever for a client that dribbles."""

    header_s = HEADER_S
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected: its time runs."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went."""
        self._stop_timer()
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

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are not HTTP, as a problem document like every other refusal."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()  # an answer has begun: nothing more can be said on this connection
            return
        document = {
            "type": "/problems/malformed_request",
            "title": "Malformed request",
            "status": 400,
            "detail": msg,
            "code": "malformed_request",
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
            self.transport.close()


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


def configure(app: Any, *, host: str, port: int) -> uvicorn.Config:
    """The limits that come from uvicorn itself."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=TimedH11Protocol,
        ws="none",
        h11_max_incomplete_event_size=16_384,
        limit_concurrency=1000,
        timeout_graceful_shutdown=20,
        access_log=False,
        server_header=False,
    )
