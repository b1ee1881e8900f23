"""/v1/jobs/{id}/events and /logs: what happened to a job, as it happens or afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection
from starlette.responses import Response

from app.api.documented import binary, refusals
from app.api.downloads import BytesContent, send
from app.api.events import BATCH, UNCACHED, EventStream, News, NoLonger, item_of, stream_events
from app.api.pagination import fitting
from app.api.problems import Problem
from app.api.schemas.jobs import JobEventList
from app.api.security import identified
from app.api.services import services_of
from app.store import jobs as store
from app.store.api_keys import Identity, is_live

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])
JobFollower = Annotated[Identity, identified("jobs:read")]
_LOGGED = ("log", "warning")
_LOG_LINES = 100_000


@router.get(
    "/events",
    response_model=JobEventList,
    responses={
        200: {
            "description": "A page of events, or with `Accept: text/event-stream` the stream of them.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **refusals("not_found", "stopping"),
    },
    summary="Events of a job",
)
async def job_events(
    request: Request,
    identity: JobFollower,
    job_id: str,
    after: Annotated[int, Query(ge=0, lt=2**63, description="Only events with a number above this.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Events of a JSON page.")] = BATCH,
    last_event_id: Annotated[
        str | None, Header(max_length=20, description="As `after`; sent by browsers that reconnect.")
    ] = None,
) -> Response:
    """Events in order. A stream ends with `event: end` once the job has, or `event: bye` when the server stops.

    `event: waiting` says what a queued job waits for: `before` it, jobs of yours, and `workers` that serve its queue.
    """
    services = services_of(request)
    if last_event_id is not None and last_event_id.isascii() and last_event_id.isdigit():
        after = max(after, min(int(last_event_id), 2**63 - 1))
    tenant_id = identity.tenant_id
    if "text/event-stream" not in request.headers.get("accept", ""):
        news = await services.in_transaction(lambda conn: _news(conn, tenant_id, job_id, after, limit))
        shown = news.events[: fitting(news.events)]
        return JSONResponse({"items": [item_of(event) for event in shown]}, headers=UNCACHED)

    def look(conn: Connection, seq: int) -> News:
        if not is_live(conn, identity.key_id):
            raise NoLonger
        return _news(conn, tenant_id, job_id, seq, BATCH)

    async def read(seq: int) -> News:
        return await services.in_transaction(lambda conn: look(conn, seq))

    await read(after)  # an unknown job is refused before the stream begins
    if services.stopping.is_set():
        raise Problem("stopping", headers={"Retry-After": "2"})
    stream = stream_events(services.events, services.stopping, job_id, after, read)
    return EventStream(services.streams, stream)


@router.get("/logs", response_class=Response, responses=binary("text/plain", ranges=True), summary="Log of a job")
async def job_logs(request: Request, identity: JobFollower, job_id: str) -> Response:
    """The job's log lines and warnings as text; ask for `Range: bytes=N-` to read only what is new."""
    services = services_of(request)

    def read(conn: Connection) -> str:
        if store.get_job(conn, identity.tenant_id, job_id) is None:
            raise _unknown(job_id)
        events = store.events_after(conn, identity.tenant_id, job_id, 0, _LOG_LINES, types=_LOGGED)
        return "".join(_line(event) for event in events)

    content = BytesContent((await services.in_transaction(read)).encode())
    return await send(request, content, "text/plain; charset=utf-8", cache="no-cache")


def _news(conn: Connection, tenant_id: str, job_id: str, after: int, limit: int) -> News:
    # The state is read first: when it is terminal, the events read next are certainly all there will be.
    known = store.state_and_seq(conn, tenant_id, job_id)
    if known is None:
        raise _unknown(job_id)
    events = store.events_after(conn, tenant_id, job_id, after, limit)
    waiting = store.waiting_for(conn, tenant_id, job_id) if known[0] == "queued" else None
    return News(events, known[0], more=len(events) == limit, waiting=waiting)


def _line(event: Mapping[str, Any]) -> str:
    data: Mapping[str, Any] = event["data"]
    text = str(data.get("text", data.get("detail", ""))) or json.dumps(data, sort_keys=True)
    stamp = event["at"].isoformat(timespec="milliseconds")
    mark = "" if event["type"] == "log" else f"{event['type']}: "
    return "".join(f"{stamp} {mark}{line}\n" for line in text.splitlines() or [""])


def _unknown(job_id: str) -> Problem:
    return Problem("not_found", f"There is no job {job_id}.")
