"""/v1/jobs: ask for work, follow it, stop it, repeat it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from app.api.answers import answer, tagged
from app.api.documented import MAKES_JOB, UNCHANGED, refusals
from app.api.filters import Cascade, CreatedAfter, OfDataset, text_of, version_of
from app.api.idempotency import IdempotencyKey, Made, once
from app.api.pagination import Page, Pager
from app.api.prefer import changed, wait_of
from app.api.problems import Problem
from app.api.schemas.common import Name, State
from app.api.schemas.jobs import JobCreate, JobList, JobView
from app.api.security import Asking, Caller, JobReader, JobWriter, calling
from app.api.services import services_of
from app.api.transactions import TransactionRoute
from app.api.webhooks import endpoints_of_job
from app.jobs.cancel import cancel_job as cancel
from app.jobs.create import NewJob
from app.jobs.create import create_job as create
from app.jobs.delete import delete_job as delete
from app.jobs.erase import Things, erase_with_descendants
from app.jobs.retry import retry_job as retry
from app.store import jobs as store
from app.store.quotas import Quota

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=TransactionRoute)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


@router.post(
    "",
    status_code=202,
    response_model=JobView,
    responses={
        200: {"description": "With validate_only: the job that would be made.", "model": JobView},
        **refusals(
            "unknown_dataset",
            "dataset_not_ready",
            "unknown_summary",
            "missing_input",
            "kind_mismatch",
            "task_mismatch",
            "budget_too_small",
            "budget_too_large",
            "too_few_rows",
            "invalid_input",
            "unknown_webhook",
            "unsafe_url",
            *MAKES_JOB,
        ),
    },
    summary="Create a job",
)
def create_job(
    request: Request,
    caller: JobWriter,
    body: JobCreate,
    validate_only: Annotated[bool, Query(description="Check the request, store nothing.")] = False,
    idempotency_key: IdempotencyKey = None,
    traceparent: Annotated[str | None, Header(description="W3C trace context, kept on the job.")] = None,
) -> Response:
    """Queue a job, or answer with identical work that is under way or finished (see `cached_from`)."""
    new = NewJob(
        **body.model_dump(exclude={"limits", "webhook"}),
        limits=body.limits.model_dump(exclude_none=True),
        api_key_id=caller.identity.key_id,
        request_id=request.scope["distillery.request_id"],
        traceparent=traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None,
    )
    quota = Quota.of(caller.services.settings)
    if validate_only:
        new = replace(new, webhooks=endpoints_of_job(caller, body.webhook, only_check=True))
        row = create(caller.conn, caller.tenant_id, new, quota=quota, validate_only=True)
        return answer(JobView.of_validated(row))

    def make() -> Made:
        announced = replace(new, webhooks=endpoints_of_job(caller, body.webhook))
        return _accepted(caller, create(caller.conn, caller.tenant_id, announced, quota=quota))

    return once(request, caller, idempotency_key, body, make)


@router.get("", response_model=JobList, responses=refusals(), summary="List jobs")
def list_jobs(
    caller: JobReader,
    page: Page,
    task: Annotated[Name | None, Query(description="Only of this task.")] = None,
    state: Annotated[State | None, Query(description="Only in this state.")] = None,
    dataset: OfDataset = None,
    label: Annotated[
        list[str] | None, Query(max_length=16, description="Only with this label: `name` or `name=value`.")
    ] = None,
    created_after: CreatedAfter = None,
) -> JobList:
    """Jobs, newest first."""
    filters: dict[str, Any] = {"task": task, "state": state, "dataset": dataset, "label": sorted(label or [])}
    filters["created_after"] = text_of(created_after)
    pager = Pager.of(page, caller.services.settings.secret, caller.tenant_id, "jobs", **filters)
    labels = dict[str, str | None]()
    for item in label or []:
        name, equals, value = item.partition("=")
        labels[name] = value if equals else None
    rows = store.list_jobs(
        caller.conn,
        caller.tenant_id,
        task=task,
        state=state,
        dataset=version_of(dataset),
        labels=labels,
        created_after=created_after,
        after=pager.after_row(),
        limit=pager.limit,
    )
    return JobList.model_validate(pager.answer(rows, JobView.of))


@router.get("/{job_id}", response_model=JobView, responses={**UNCHANGED, **refusals("not_found")}, summary="Get a job")
async def get_job(
    request: Request,
    asking: Annotated[Asking, calling("jobs:read", reads=True)],
    job_id: str,
    prefer: Annotated[
        str | None, Header(description="`wait=20`: answer when the job changes, or after so many seconds, at most 30.")
    ] = None,
) -> Response:
    """One job with a strong ETag: ask with If-None-Match to hear only of changes."""
    services = services_of(request)

    def read(conn: Connection) -> JobView:
        caller = asking.on(conn)
        row = store.get_job(conn, caller.tenant_id, job_id)
        if row is None:
            raise _unknown(job_id)
        return _view(caller, row)

    async def look() -> JobView:
        return await services.reading(read)

    wait_s = wait_of(prefer)
    if wait_s is None or not services.streams.has_room():
        return tagged(request, await look())
    with services.streams.entered():
        view = await changed(services.events, services.stopping, job_id, look, request, wait_s)
    return tagged(request, view, headers={"Preference-Applied": f"wait={wait_s}", "Vary": "Prefer"})


@router.post("/{job_id}/cancel", response_model=JobView, responses=refusals("not_found"), summary="Cancel a job")
def cancel_job(caller: JobWriter, job_id: str) -> Response:
    """Stop a job: at once while it waits, soon while it runs; one that has ended stays as it is."""
    row = cancel(caller.conn, caller.tenant_id, job_id)
    if row is None:
        raise _unknown(job_id)
    caller.note("job.cancel", job_id)
    return answer(_view(caller, dict(row)))


@router.post(
    "/{job_id}/retry",
    status_code=202,
    response_model=JobView,
    responses=refusals(
        "not_found",
        "job_not_finished",
        "not_retryable",
        "unknown_dataset",
        "dataset_not_ready",
        "unknown_summary",
        "missing_input",
        "kind_mismatch",
        "budget_too_small",
        "budget_too_large",
        "too_few_rows",
        "invalid_input",
        "unknown_webhook",
        *MAKES_JOB,
    ),
    summary="Retry a finished job",
)
def retry_job(request: Request, caller: JobWriter, job_id: str, idempotency_key: IdempotencyKey = None) -> Response:
    """A new job with the same request, which starts from the old one's last checkpoint."""

    def make() -> Made:
        row = retry(
            caller.conn,
            caller.tenant_id,
            job_id,
            quota=Quota.of(caller.services.settings),
            api_key_id=caller.identity.key_id,
            request_id=request.scope["distillery.request_id"],
        )
        if row is None:
            raise _unknown(job_id)
        return _accepted(caller, row)

    return once(request, caller, idempotency_key, None, make)


@router.delete(
    "/{job_id}", status_code=204, responses=refusals("not_found", "job_not_finished"), summary="Delete a finished job"
)
def delete_job(caller: JobWriter, job_id: str, cascade: Cascade = False) -> Response:
    """Delete a job that has ended, with its events; the summary, report or version that it made stays.

    With `cascade` its summary and report go too, with all that was made from them; a version is its dataset's. The
    same request made again is then done anew, instead of being answered from this job.
    """
    if cascade and store.get_job(caller.conn, caller.tenant_id, job_id) is not None:
        erase_with_descendants(caller.conn, caller.tenant_id, Things(jobs={job_id}))
        caller.note("job.erase", job_id)
        return Response(status_code=204)
    if not delete(caller.conn, caller.tenant_id, job_id):
        raise _unknown(job_id)
    caller.note("job.delete", job_id)
    return Response(status_code=204)


def _accepted(caller: Caller, row: dict[str, Any]) -> Made:
    return 202, _view(caller, row), {"Location": f"/v1/jobs/{row['id']}", "Retry-After": "2"}


def _view(caller: Caller, row: dict[str, Any]) -> JobView:
    return JobView.of(row, store.queue_position(caller.conn, row))


def _unknown(job_id: str) -> Problem:
    return Problem("not_found", f"There is no job {job_id}.")
