"""How much may be open in this process at once, and whose: requests, and among them streams of events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager

from app.api.places import WHO
from app.api.problems import Problem


class Room:
    """Room for `total` open things, of which one tenant has `most` at most. Used on one event loop.

    `too_many`, `full`: the refusal of one who has `most` already, and of one for whom too little is left.

    Nobody takes more than what is left free after it, so one alone has half of the room at most, two have two thirds,
    and somebody who comes then still finds some ("dynamic thresholds", Choudhury and Hahne 1998, with alpha = 1).
    """

    def __init__(
        self, total: int, most: int, too_many: Callable[[int], Problem], full: Callable[[int], Problem] | None = None
    ) -> None:
        self._free = total
        self._most = most
        self._too_many = too_many
        self._full = full or busy
        self._own: Counter[str] = Counter()

    def has_room(self) -> bool:
        """Whether one more of whoever asks fits."""
        return self._own[WHO.get()] < min(self._most, self._free)

    @contextmanager
    def entered(self) -> Generator[None]:
        """Have room for one for as long as the block runs, or be refused."""
        who = WHO.get()
        if not self.has_room():
            raise (self._too_many if self._own[who] >= self._most else self._full)(self._most)
        self._free -= 1
        self._own[who] += 1
        try:
            yield
        finally:
            self._free += 1
            self._own[who] -= 1
            if not self._own[who]:
                del self._own[who]


def busy(most: int) -> Problem:
    """Too much of this process is taken."""
    return Problem("busy", headers={"Retry-After": "2"})


def no_import_slot(most: int) -> Problem:
    """As many imports as may be are under way, of the tenant or of all."""
    return Problem("import_busy", headers={"Retry-After": "10"})


def too_many_requests(most: int) -> Problem:
    """A tenant has as many requests open as it may."""
    return Problem(
        "too_many_open",
        f"{most} requests of this tenant are open at this process, as many as may be.",
        hint="Wait for some to be answered, and send fewer at once.",
        headers={"Retry-After": "1"},
    )


def too_many_streams(most: int) -> Problem:
    """A tenant has as many streams of events open as it may."""
    return Problem(
        "too_many_open",
        f"{most} event streams of this tenant are open at this process, as many as may be.",
        hint="Close some. GET /v1/events?jobs=job_a,job_b follows up to 100 jobs in one stream, and GET /v1/jobs/{id} "
        "tells without one how a job is.",
        headers={"Retry-After": "5"},
    )
