"""Pages that go on by themselves: streams of the parts that changed, as HTML for htmx to put in their place.

A stream keeps no history: it is woken, looks, and sends what reads otherwise than what it sent before. So a reader that
comes back after any pause has the state of now, without gap or repeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from sqlalchemy import Connection

from app.api.events import KEEPALIVE_S, woken
from app.api.schemas.jobs import JobView
from app.api.security import Caller
from app.api.services import Services
from app.jobs.states import TERMINAL
from app.store import jobs as store
from app.store.api_keys import Identity, is_live
from app.web.ask import SHOWN, names_of
from app.web.render import part
from app.web.story import Story

_RETRY_MS = 1000
_GAP_S = 0.25  # between two looks: nobody reads faster
_LOOK_EVERY_S = 1.0  # for jobs that were not there when the stream began to follow
_END = format_sse_event(event="end", data_str="{}")

Parts = dict[str, str]
"""Parts of a page by the id of the element that each replaces."""


async def list_as_it_goes(services: Services, identity: Identity, state: str | None) -> AsyncIterator[bytes]:
    """The rows of the first page of the list of jobs."""
    sent: Parts = {}
    followed: list[str] = []

    def look(conn: Connection) -> tuple[Parts, list[str]] | None:
        if not is_live(conn, identity.key_id):
            return None
        rows = store.list_jobs(conn, identity.tenant_id, state=state, limit=SHOWN)
        views = [JobView.of(row) for row in rows]
        caller = Caller(conn, identity, services)
        names = names_of(caller, [view.dataset for view in views])
        parts = {str(view.id): part("job_row.html", job=view, names=names) for view in views}
        return parts, [str(view.id) for view in views if view.state not in TERMINAL]

    yield format_sse_event(retry=_RETRY_MS)
    silent = 0.0
    while not services.stopping.is_set():
        with services.events.following(*followed) as flag:
            seen = await services.reading(look)
            if seen is None:
                break
            parts, followed = seen
            new = [job_id for job_id in reversed(parts) if sent and job_id not in sent]
            changed = [job_id for job_id in parts if job_id not in new and parts[job_id] != sent.get(job_id)]
            if new or changed:
                # Rows that have gone by are not told of: the list grows at its head until it is loaded again.
                text = "".join(_before("job-list", parts[job_id]) for job_id in new)
                text += "".join(_instead(job_id, parts[job_id]) for job_id in changed)
                yield format_sse_event(data_str=text)
                silent = 0.0
            sent = sent | parts
            if silent >= KEEPALIVE_S:
                yield KEEPALIVE_COMMENT
                silent = 0.0
            await asyncio.sleep(_GAP_S)
            await woken(flag, services.stopping, _LOOK_EVERY_S)
            silent += _GAP_S + _LOOK_EVERY_S
    yield _END


async def job_as_it_goes(services: Services, identity: Identity, job_id: str) -> AsyncIterator[bytes]:
    """The parts of one job's page, until it has ended."""
    story, sent = Story(), Parts()

    def look(conn: Connection) -> tuple[Parts, bool] | None:
        # The state is read first: when it is terminal, the events read next are certainly all there will be.
        row = store.get_job(conn, identity.tenant_id, job_id)
        if row is None or not is_live(conn, identity.key_id):
            return None
        story.go_on(conn, identity.tenant_id, job_id)
        job = JobView.of(row, store.queue_position(conn, row))
        names = names_of(Caller(conn, identity, services), [job.dataset])
        return job_parts(job, story, names), job.state in TERMINAL

    yield format_sse_event(retry=_RETRY_MS)
    with services.events.following(job_id) as flag:
        while not services.stopping.is_set():
            flag.clear()
            seen = await services.reading(look)
            if seen is None:
                break
            parts, ended = seen
            changed = {name: text for name, text in parts.items() if sent.get(name) != text}
            if changed:
                yield format_sse_event(data_str="".join(_instead(name, text) for name, text in changed.items()))
            sent = parts
            if ended:
                break
            await asyncio.sleep(_GAP_S)
            if not await woken(flag, services.stopping, KEEPALIVE_S):
                yield KEEPALIVE_COMMENT
    yield _END


def job_parts(job: JobView, story: Story, names: dict[str, str]) -> Parts:
    """What changes on a job's page while it runs."""
    names_of_parts = ("now", "said", "phases", "metrics", "log")
    return {f"job-{one}": part(f"job_{one}.html", job=job, story=story, names=names) for one in names_of_parts}


def _instead(element: str, text: str) -> str:
    return f'<hx-partial hx-target="#{element}" hx-swap="outerMorph">{text}</hx-partial>'


def _before(element: str, text: str) -> str:
    return f'<hx-partial hx-target="#{element}" hx-swap="afterbegin">{text}</hx-partial>'
