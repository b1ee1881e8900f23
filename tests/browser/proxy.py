"""A way to a service whose connections can be cut: what a train in a tunnel does to an upload."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress


class Proxy:
    """Passes bytes on between a free port of this machine and a service. `cut_after`: bytes of one direction (to the
    service) after which, once, every connection is reset, and new ones are refused for `away_s`."""

    def __init__(self, host: str, port: int) -> None:
        self.to = (host, port)
        self.cut_after: int | None = None
        self.away_s = 1.0
        self.cuts = 0
        self.slow_s = 0.0
        self._passed = 0
        self._away_until = 0.0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._reset_all()

    def _listen(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if time.monotonic() < self._away_until:
                _reset(near)
                continue
            far = socket.create_connection(self.to)
            with self._lock:
                self._open |= {near, far}
            threading.Thread(target=self._pass_on, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(far, near, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
                if counted and len(data) > 10_000:
                    time.sleep(self.slow_s)
                if counted and self._is_time(len(data)):
                    self._reset_all()
                    return
            target.shutdown(socket.SHUT_WR)

    def _is_time(self, size: int) -> bool:
        with self._lock:
            self._passed += size
            if self.cut_after is None or self._passed < self.cut_after:
                return False
            self.cut_after, self.cuts = None, self.cuts + 1
            self._away_until = time.monotonic() + self.away_s
            return True

    def _reset_all(self) -> None:
        with self._lock:
            gone, self._open = self._open, set()
        for one in gone:
            _reset(one)


def _reset(one: socket.socket) -> None:
    """Close with a reset, as a connection ends that nobody closed."""
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.shutdown(socket.SHUT_RDWR)
    one.close()
