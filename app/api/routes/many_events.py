"""/v1/events: what happens to several jobs, in one stream; browsers open only few connections to one host."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from app.api.documented import refusals
from app.api.events import BATCH, EventStream, News, NoLonger, stream_many
from app.api.problems import Problem
from app.api.security import identified
from app.api.services import services_of
from app.store import jobs as store
from app.store.api_keys import Identity, is_live

router = APIRouter(prefix="/v1/events", tags=["jobs"])
_MOST = 100
_POSITION = r"^\d{1,18}(\.\d{1,18})*$"


@router.get(
    "",
    response_class=Response,
    responses={
        200: {
            "description": "The stream; the data of an event is that of the job's own, with `job`.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **refusals("not_found", "stopping"),
    },
    summary="Events of several jobs",
)
async def follow_jobs(
    request: Request,
    identity: Annotated[Identity, identified("jobs:read")],
    jobs: Annotated[
        str, Query(min_length=1, max_length=5000, description=f"Ids with commas between, {_MOST} at most.")
    ],
    after: Annotated[
        str | None, Query(pattern=_POSITION, max_length=2000, description="An event's id: only what came later.")
    ] = None,
    last_event_id: Annotated[
        str | None, Header(max_length=2000, description="As `after`; sent by browsers that reconnect.")
    ] = None,
) -> Response:
    """Each job's events in order; `event: end` once all jobs have ended, `event: bye` when the server stops."""
    services, tenant_id = services_of(request), identity.tenant_id
    ids = list(dict.fromkeys(jobs.split(",")))
    if len(ids) > _MOST:
        raise Problem("invalid_request", f"At most {_MOST} jobs can be followed at once.", pointer="jobs")
    known = last_event_id if last_event_id is not None and re.match(_POSITION, last_event_id, re.ASCII) else after
    seqs = [int(number) for number in known.split(".")] if known else [0] * len(ids)
    if len(seqs) != len(ids):
        raise Problem("invalid_request", "It is an id of a stream of other jobs.", pointer="after")

    def news(conn: Connection, live: dict[str, int]) -> dict[str, News]:
        if not is_live(conn, identity.key_id):
            raise NoLonger
        # The states are read first: when one is terminal, the events read next are certainly all there will be.
        states = store.states_and_seqs(conn, tenant_id, list(live))
        if missing := [job_id for job_id in live if job_id not in states]:
            raise Problem("not_found", f"There is no job {missing[0][:80]}.")
        found: dict[str, News] = {}
        for job_id, seq in live.items():
            state, last = states[job_id]
            events = store.events_after(conn, tenant_id, job_id, seq, BATCH) if last > seq else []
            found[job_id] = News(events, state, more=len(events) == BATCH)
        return found

    async def read(live: dict[str, int]) -> dict[str, News]:
        wanted = dict(live)
        return await services.in_transaction(lambda conn: news(conn, wanted))

    position = dict(zip(ids, seqs, strict=True))
    await read(position)  # unknown jobs are refused before the stream begins
    if services.stopping.is_set():
        raise Problem("stopping", headers={"Retry-After": "2"})
    stream = stream_many(services.events, services.stopping, position, read)
    return EventStream(services.streams, stream)
