"""Claim a queued job: compare-and-set, a lease, and a fence number that is never used twice."""

from __future__ import annotations

from sqlalchemy import Connection, func, insert, select

from app.jobs.states import JobRow, lease, transition
from app.store.tables import job, job_attempt


def claim_job(conn: Connection, job_id: str, worker_id: str, lease_s: float) -> JobRow | None:
    """The job, now owned by this worker until its lease ends; None when somebody else was first."""
    due = conn.scalar(select(job.c.id).where(job.c.id == job_id, job.c.available_at <= func.now()))
    if due is None:
        return None
    row = transition(
        conn,
        job_id,
        "running",
        data={"worker": worker_id},
        values={
            "fence": job.c.fence + 1,
            "attempt": job.c.attempt + 1,
            "lease_until": lease(lease_s),
            "worker_id": worker_id,
            "started_at": func.coalesce(job.c.started_at, func.now()),
        },
    )
    if row is not None:
        conn.execute(
            insert(job_attempt).values(
                job_id=job_id,
                fence=row["fence"],
                tenant_id=row["tenant_id"],
                attempt=row["attempt"],
                worker_id=worker_id,
            )
        )
    return row
