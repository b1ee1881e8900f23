"""Retry a finished job: a new job with the same request that starts from the old one's last checkpoint."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from app.jobs.create import NewJob, create_job
from app.jobs.errors import Refused
from app.jobs.states import TERMINAL
from app.store.jobs import visible
from app.store.quotas import Quota
from app.store.tables import job
from app.store.webhooks import named_endpoints


def retry_job(
    conn: Connection,
    tenant_id: str,
    job_id: str,
    *,
    quota: Quota | None = None,
    api_key_id: str | None = None,
    request_id: str | None = None,
) -> dict[str, Any] | None:
    """The new job, or None when there is no such job; `Refused` while the old one is still alive."""
    # Held, so that retention does not take away the resume point that the new job is about to refer to.
    query = select(job).where(job.c.id == job_id, *visible(tenant_id)).with_for_update(key_share=True)
    old = conn.execute(query).mappings().one_or_none()
    if old is None:
        return None
    if old["state"] not in TERMINAL:
        raise Refused("job_not_finished", f"{job_id} is {old['state']}.", hint="Cancel it first, or wait for its end.")
    if old["task"] == "ingest":
        raise Refused("not_retryable", f"{job_id} ingests a version.", hint="Commit the dataset again instead.")
    new = NewJob(
        method=old["method"],
        dataset=f"{old['dataset_id']}@{old['dataset_version']}",
        retry_of=job_id,
        checkpoint=old["checkpoint"],
        webhooks=tuple(named_endpoints(conn, tenant_id, job_id)),
        api_key_id=api_key_id,
        request_id=request_id,
        **{name: old[name] for name in _SAME},
    )
    return create_job(conn, tenant_id, new, quota=quota or Quota())


_SAME = (
    "inputs",
    "params",
    "evaluate",
    "seed",
    "device",
    "limits",
    "labels",
    "priority",
    "deterministic",
    "force",
)
