"""Claim a queued job: compare-and-set, a lease, and a fence number that is never used twice."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, ScalarSelect, func, insert, select

from app.jobs.states import JobRow, lease, transition
from app.store.tables import job, job_attempt


def claim_job(conn: Connection, job_id: str | ScalarSelect[str], worker_id: str, lease_s: float) -> JobRow | None:
    """The job, now owned by this worker until its lease ends; None when somebody else was first."""
    row = transition(
        conn,
        job_id,
        "running",
        where=job.c.available_at <= func.now(),
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
        columns = ("fence", "tenant_id", "attempt", "worker_id")
        conn.execute(insert(job_attempt), {"job_id": row["id"], **{name: row[name] for name in columns}})
    return row


def claim_next(conn: Connection, queues: Sequence[str], worker_id: str, lease_s: float) -> JobRow | None:
    """The job that waits first in these queues, now owned by this worker; None when none is due."""
    waiting = select(job.c.id).where(job.c.state == "queued", job.c.queue.in_(queues), job.c.available_at <= func.now())
    first = waiting.order_by(job.c.priority.desc(), job.c.created_at).limit(1).with_for_update(skip_locked=True)
    return claim_job(conn, first.scalar_subquery(), worker_id, lease_s)
