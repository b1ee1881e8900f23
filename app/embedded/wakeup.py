"""Sleeping until a signal or a time: the supervisor's only way to wait, so that it uses no CPU while idle."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from types import FrameType, TracebackType
from typing import Any

_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Wakeup:
    """Takes over SIGTERM, SIGINT, SIGHUP and SIGCHLD while it is entered; main thread only.

    Handlers, not a blocked signal mask: a mask would be inherited by everything that is started.
    """

    def __init__(self) -> None:
        self.stop_requests = 0
        self._reader, self._writer = -1, -1
        self._before: dict[signal.Signals, Any] = {}
        self._fd_before = -1

    def __enter__(self) -> Wakeup:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._fd_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in _STOP:
            self._before[number] = signal.signal(number, self._count)
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _nothing)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, timeout_s: float) -> None:
        """Return after a signal (a child ended, a stop was asked for) or after the time."""
        select.select([self._reader], [], [], max(0.0, timeout_s))
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                pass

    def _count(self, number: int, frame: FrameType | None) -> None:
        self.stop_requests += 1


def _nothing(number: int, frame: FrameType | None) -> None:
    """SIGCHLD needs a handler to be noticed at all."""
