"""Notices a Celery consumer that is dead or hangs while everything else in the process is well."""

from __future__ import annotations

import time
from collections.abc import Callable


class Watchdog:
    """Says when the consumer is dead: it has been idle and has taken no probe for `silence_s`, although two checks in a
    row have found one waiting in the broker.

    `is_busy`: whether an attempt runs, for which the process is never given up. `unheard`: how many probes lie in the
    broker; 0 also when it cannot be asked, which is no fault of ours.
    """

    def __init__(
        self,
        silence_s: float,
        *,
        is_busy: Callable[[], bool],
        unheard: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._silence_s = silence_s
        self._is_busy = is_busy
        self._unheard = unheard
        self._clock = clock
        self._heard_at = clock()
        self._suspected = False

    def hear(self) -> None:
        """A probe was taken."""
        self._heard_at = self._clock()

    def is_dead(self) -> bool:
        """Ask this now and then, several times in `silence_s`."""
        if self._is_busy():
            self.hear()
        silent = self._clock() - self._heard_at > self._silence_s
        before, self._suspected = self._suspected, silent and self._unheard() > 0
        return before and self._suspected
