"""Claim a queued job: compare-and-set, a lease, and a fence number that is never used twice.

Tenants take turns: the next job is of the tenant that has the fewest running there, among equals of the one whose last
start is longest ago. Priority counts among the jobs of one tenant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import CTE, Connection, Double, Integer, Text, bindparam, func, insert, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import UpdateBase

from app.jobs.states import JobRow, With, lease, transition
from app.store.tables import job, job_attempt

# `waiting` steps through an index from tenant to tenant, however many jobs each has, and ends with a NULL. The join
# goes through the tenants in their order to the first one with a job that no other claimer holds just now.
_NEXT = (
    text("""
WITH RECURSIVE waiting (tenant_id) AS (
    SELECT min(tenant_id) FROM job WHERE state = 'queued' AND queue = ANY (:queues) AND available_at <= now()
    UNION ALL
    SELECT (
        SELECT min(next.tenant_id) FROM job AS next
        WHERE next.tenant_id > waiting.tenant_id
            AND next.state = 'queued' AND next.queue = ANY (:queues) AND next.available_at <= now()
    ) FROM waiting WHERE waiting.tenant_id IS NOT NULL
), turns AS (
    SELECT waiting.tenant_id FROM waiting
    JOIN tenant ON tenant.id = waiting.tenant_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS running FROM job AS own
        WHERE own.tenant_id = tenant.id AND own.state IN ('running', 'cancelling') AND own.queue = ANY (:queues)
    ) AS own
    CROSS JOIN LATERAL (SELECT coalesce((tenant.limits ->> 'running_jobs')::int, :running_limit) AS most) AS may
    WHERE may.most = 0 OR own.running < may.most
    ORDER BY
        own.running,
        (SELECT max(started_at) FROM job_attempt AS last WHERE last.tenant_id = tenant.id) NULLS FIRST
)
SELECT first.id FROM turns CROSS JOIN LATERAL (
    SELECT id FROM job
    WHERE job.tenant_id = turns.tenant_id
        AND state = 'queued' AND queue = ANY (:queues) AND available_at <= now()
    ORDER BY priority DESC, created_at LIMIT 1 FOR UPDATE SKIP LOCKED
) AS first LIMIT 1
""")
    .bindparams(bindparam("queues", type_=ARRAY(Text)), bindparam("running_limit", type_=Integer))
    .columns(job.c.id)
    .scalar_subquery()
)


def claim_job(conn: Connection, job_id: str, worker_id: str, lease_s: float) -> JobRow | None:
    """The job, now owned by this worker until its lease ends; None when somebody else was first."""
    return _claim(conn, job_id, _OF_ONE, worker_id, lease_s)


def claim_next(
    conn: Connection, queues: Sequence[str], worker_id: str, lease_s: float, *, running_limit: int = 0
) -> JobRow | None:
    """The job whose turn it is in these queues, now owned by this worker; None when none is due.

    `running_limit`: a tenant that has so many running in these queues, or as many as its own limits say, is passed
    over; 0: no limit. Claims of the same moment do not see each other, so their number may be in excess of it.
    """
    return _claim(conn, None, _OF_QUEUES, worker_id, lease_s, queues=list(queues), running_limit=running_limit)


def _claim(
    conn: Connection, job_id: str | None, which: With, worker_id: str, lease_s: float, **params: Any
) -> JobRow | None:
    return transition(
        conn,
        job_id,
        "running",
        data={"worker": worker_id},
        values={"worker_id": worker_id},
        more=which,
        params={"lease_s": lease_s, **params},
    )


def _begin_attempt(claimed: CTE) -> list[UpdateBase]:
    names = ("fence", "tenant_id", "attempt", "worker_id")
    row = select(claimed.c.id, *(claimed.c[name] for name in names))
    return [insert(job_attempt).from_select(("job_id", *names), row)]


_OF_ONE = With(
    where=(job.c.available_at <= func.now(),),
    values={
        "fence": job.c.fence + 1,
        "attempt": job.c.attempt + 1,
        "lease_until": lease(bindparam("lease_s", type_=Double)),
        "started_at": func.coalesce(job.c.started_at, func.now()),
    },
    also=_begin_attempt,
)
_OF_QUEUES = replace(_OF_ONE, where=(job.c.id == _NEXT, *_OF_ONE.where))
