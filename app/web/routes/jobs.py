"""/ui/jobs: what runs, what ran, and how it goes, as it goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from app.api.events import EventStream
from app.api.problems import Problem
from app.api.routes import jobs as api
from app.api.schemas.common import State
from app.api.schemas.jobs import JobView
from app.api.security import JobReader, JobWriter, identified
from app.api.services import services_of
from app.store import jobs as store
from app.store.api_keys import Identity
from app.web import live
from app.web.ask import document, first_page, go, names_of, wanted
from app.web.render import page
from app.web.route import PageRoute
from app.web.story import Story

router = APIRouter(route_class=PageRoute)
Follower = Annotated[Identity, identified("jobs:read")]
_STATES = get_args(State)


@router.get("/ui/jobs")
def show_jobs(request: Request, caller: JobReader) -> Response:
    """The list, newest first; it goes on by itself."""
    state = wanted(request, "state")
    chosen: Any = state if state in _STATES else None
    found = api.list_jobs(caller, first_page(wanted(request, "page_token")), state=chosen)
    return page(
        request,
        "jobs.html",
        caller=caller,
        jobs=found.items,
        names=names_of(caller, [job.dataset for job in found.items]),
        next_page=found.next_page_token,
        states=_STATES,
        chosen=chosen,
        follow=not wanted(request, "page_token"),
    )


@router.get("/ui/jobs/stream")
async def follow_jobs(request: Request, identity: Follower) -> Response:
    """The list's rows, whenever one changes."""
    services = services_of(request)
    state = wanted(request, "state")
    stream = live.list_as_it_goes(services, identity, state if state in _STATES else None)
    return _stream(request, stream)


@router.get("/ui/jobs/{job_id}")
def show_job(request: Request, caller: JobReader, job_id: str) -> Response:
    """One job: its phases, its metrics, its log, and what came of it."""
    row = _existing(caller.conn, caller.tenant_id, job_id)
    story = Story()
    story.go_on(caller.conn, caller.tenant_id, job_id)
    job = JobView.of(row, store.queue_position(caller.conn, row))
    return page(
        request,
        "job.html",
        caller=caller,
        job=job,
        story=story,
        names=names_of(caller, [job.dataset]),
    )


@router.get("/ui/jobs/{job_id}/stream")
async def follow_job(request: Request, identity: Follower, job_id: str) -> Response:
    """The parts of a job's page, whenever one changes."""
    services = services_of(request)
    await services.reading(lambda conn: _existing(conn, identity.tenant_id, job_id))
    return _stream(request, live.job_as_it_goes(services, identity, job_id))


@router.post("/ui/jobs/{job_id}/cancel")
def cancel_job(request: Request, caller: JobWriter, job_id: str) -> Response:
    """Stop it."""
    api.cancel_job(caller, job_id)
    return go(f"/ui/jobs/{job_id}")


@router.post("/ui/jobs/{job_id}/retry")
def retry_job(request: Request, caller: JobWriter, job_id: str) -> Response:
    """Do the same again."""
    made = document(api.retry_job(request, caller, job_id))
    return go(f"/ui/jobs/{made['id']}")


@router.post("/ui/jobs/{job_id}/delete")
def delete_job(request: Request, caller: JobWriter, job_id: str) -> Response:
    """Delete it; what it made stays."""
    api.delete_job(caller, job_id)
    return go("/ui/jobs")


def _stream(request: Request, stream: AsyncIterator[bytes]) -> Response:
    services = services_of(request)
    if services.stopping.is_set():
        raise Problem("stopping", headers={"Retry-After": "2"})
    return EventStream(services.streams, stream)


def _existing(conn: Connection, tenant_id: str, job_id: str) -> dict[str, Any]:
    row = store.get_job(conn, tenant_id, job_id)
    if row is None:
        raise Problem("not_found", f"There is no job {job_id[:80]}.")
    return row
