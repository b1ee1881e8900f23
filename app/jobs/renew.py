"""The heartbeat: extend a lease, and hear whether the job is to be cancelled."""

from __future__ import annotations

from sqlalchemy import Connection, update

from app.jobs.states import OWNED, lease
from app.store.tables import job


def renew_lease(conn: Connection, job_id: str, fence: int, lease_s: float) -> str | None:
    """The state of a job that is still ours (`running` or `cancelling`); None when the fence is lost.

    An expired lease can still be renewed as long as nobody reaped the job: after a database outage every lease
    looks expired, and live owners must be able to go on.
    """
    return conn.scalar(
        update(job)
        .where(job.c.id == job_id, job.c.fence == fence, job.c.state.in_(OWNED))
        .values(lease_until=lease(lease_s))
        .returning(job.c.state)
    )
