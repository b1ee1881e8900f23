"""The slots of a worker. Those for uploads are kept apart, so that none waits behind a job of hours."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from app.settings import Settings

UPLOADS = "io"


class Slots:
    """As many jobs of some queues as may run at once.

    Who finds all slots taken goes away, and what he came for was perhaps queued after the last look of those inside.
    So the next one to leave is told to look again.
    """

    def __init__(self, queues: Sequence[str], count: int) -> None:
        self.queues = tuple(queues)
        self.count = count
        self._taken = 0
        self._missed = False
        self._lock = threading.Lock()

    def enter(self) -> bool:
        """Take a slot; False when none is free."""
        with self._lock:
            if self._taken == self.count:
                self._missed = True
                return False
            self._taken += 1
            return True

    def leave(self) -> bool:
        """Give a slot back; True when somebody found none meanwhile."""
        with self._lock:
            missed, self._missed = self._missed, False
            self._taken -= 1
            return missed


def queues_of(settings: Settings) -> list[str]:
    """The queues that a worker serves."""
    return [name.strip() for name in settings.queues.split(",") if name.strip()]


def slots_of(settings: Settings) -> list[Slots]:
    """The slots of a worker: for uploads, and for everything else, where it serves those queues."""
    queues = queues_of(settings)
    uploads, others = [name for name in queues if name == UPLOADS], [name for name in queues if name != UPLOADS]
    return [Slots(names, count) for names, count in ((uploads, settings.io_slots), (others, settings.slots)) if names]
