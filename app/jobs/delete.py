"""Delete a job that has ended: it is seen no more, and answers no later request; what it made stays."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, select, update

from app.jobs.errors import Refused
from app.jobs.states import TERMINAL
from app.store.jobs import visible
from app.store.tables import artifact, job, job_event


def delete_job(conn: Connection, tenant_id: str, job_id: str) -> bool:
    """Hide the job, forget its events and its resume point; False when there is none. `Refused` while it is alive.

    Its row stays, because summaries, reports, versions and the account of GPU time refer to it.
    """
    query = select(job.c.state).where(job.c.id == job_id, *visible(tenant_id)).with_for_update()
    state = conn.scalar(query)
    if state is None:
        return False
    if state not in TERMINAL:
        raise Refused("job_not_finished", f"{job_id} is {state}.", hint="Cancel it first, or wait for its end.")
    conn.execute(update(job).where(job.c.id == job_id).values(deleted_at=func.now(), checkpoint=None))
    conn.execute(delete(artifact).where(artifact.c.owner == job_id))
    conn.execute(delete(job_event).where(job_event.c.job_id == job_id))
    return True
