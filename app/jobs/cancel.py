"""Cancel a job: at once while it waits, through its supervisor while it runs."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from app.jobs.states import JobRow, With, transition
from app.jobs.versions import mark_version_failed
from app.store.jobs import visible
from app.store.tables import job

_ASKED_FOR = With(values={"cancel_requested_at": func.now()})


def cancel_job(conn: Connection, tenant_id: str, job_id: str) -> JobRow | None:
    """The job after the request: cancelled, cancelling, or as it already ended. None when there is no such job."""
    row = conn.execute(
        select(job).where(job.c.id == job_id, *visible(tenant_id)).with_for_update()
    ).mappings().one_or_none()  # fmt: skip
    if row is None or row["state"] not in ("queued", "running"):
        return row
    to = "cancelled" if row["state"] == "queued" else "cancelling"
    moved = transition(conn, job_id, to, source=row["state"], more=_ASKED_FOR)
    if to == "cancelled":
        mark_version_failed(conn, row)
    return moved
