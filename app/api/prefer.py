"""`Prefer: wait=N` (RFC 7240): hold a question about a job until the job changes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable

from starlette.requests import Request

from app.api.answers import is_known
from app.api.events import EventHub, woken
from app.api.schemas.jobs import JobView
from app.jobs.states import TERMINAL

LONGEST_S = 30
_BLIND_S = 5.0  # a notification may be lost with its connection, so look now and then
_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])', re.ASCII | re.IGNORECASE)


def wait_of(prefer: str | None) -> int | None:
    """The seconds that a Prefer header asks for, at most 30; None when it does not ask to wait."""
    found = _WAIT.search(prefer) if prefer else None
    return min(LONGEST_S, int(found[1])) if found else None


async def changed(
    hub: EventHub,
    stopping: asyncio.Event,
    job_id: str,
    look: Callable[[], Awaitable[JobView]],
    request: Request,
    wait_s: float,
) -> JobView:
    """The job once it differs from what the client has (or from now, when it does not say), or the time is up.

    Between two looks nothing is held but a flag: no thread and no database connection.
    """
    until = time.monotonic() + wait_s
    with hub.following(job_id) as flag:
        first = view = await look()
        knows = request.headers.get("if-none-match") is not None
        while not stopping.is_set() and view.state not in TERMINAL:
            same = is_known(request, view) if knows else view.last_seq == first.last_seq
            left_s = until - time.monotonic()
            if not same or left_s <= 0:
                break
            await woken(flag, stopping, min(left_s, _BLIND_S))
            flag.clear()  # before the look: what happens after it sets the flag again
            view = await look()
        return view
