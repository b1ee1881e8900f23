"""How fast a server is asked: requests and tokens a minute, each from a bucket that fills steadily."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_BURST_S = 10.0  # how many seconds' worth may be taken at once


class Bucket:
    """Lets `per_minute` units through a minute, and ten seconds' worth at once; 0 lets all through.

    A taking larger than what fits waits for a full bucket and leaves a debt, so the mean holds for any size.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._most = max(1.0, self._rate * _BURST_S)
        self._held = self._most
        self._clock = clock
        self._at = clock()
        self._lock = threading.Lock()

    def wait_s(self, units: float) -> float:
        """Take units and return 0.0, or return in how many seconds to ask again."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = self._clock()
            self._held = min(self._most, self._held + (now - self._at) * self._rate)
            self._at = now
            needed = min(units, self._most)
            if self._held >= needed - 1e-9:
                self._held -= units
                return 0.0
            return (needed - self._held) / self._rate


def take(bucket: Bucket, units: float, stopped: threading.Event) -> None:
    """Wait until the bucket gives so many units, or until a stop."""
    while (pause := bucket.wait_s(units)) and not stopped.wait(pause):
        pass
