"""Reading jobs and their events; a deleted job is invisible here. Who changes a job is in `app.jobs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    text,
    tuple_,
)

from app.store.database import Prepared
from app.store.lists import After, newest_first
from app.store.tables import job, job_attempt, job_event, worker
from app.store.workers import workers_of


def get_job(conn: Connection, tenant_id: str, job_id: str) -> dict[str, Any] | None:
    """One job."""
    return _ONE.one(conn, {"id": job_id, "tenant_id": tenant_id})


def list_jobs(
    conn: Connection,
    tenant_id: str,
    *,
    task: str | None = None,
    state: str | None = None,
    dataset: tuple[str, int | None] | None = None,
    labels: Mapping[str, str | None] | None = None,
    created_after: datetime | None = None,
    after: After | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Jobs, newest first, older than `after`.

    `dataset`: an id and, unless None, a version. `labels`: each must be there, with that value unless it is None.
    """
    query = select(job).where(*visible(tenant_id))
    if task is not None:
        query = query.where(job.c.task == task)
    if state is not None:
        query = query.where(job.c.state == state)
    if dataset is not None:
        query = query.where(reads(dataset))
    for name, value in (labels or {}).items():
        query = query.where(job.c.labels.has_key(name) if value is None else job.c.labels.contains({name: value}))
    query = newest_first(query, job, after=after, created_after=created_after, limit=limit)
    return [dict(row) for row in conn.execute(query).mappings()]


def visible(tenant_id: str | BindParameter[str]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Whether a job is one that this tenant may see."""
    return job.c.tenant_id == tenant_id, job.c.deleted_at.is_(None)


def reads(dataset: tuple[str, int | None]) -> ColumnElement[bool]:
    """Whether a job reads this dataset or, where it has a number, this version of it."""
    of_dataset = job.c.dataset_id == dataset[0]
    return of_dataset if dataset[1] is None else and_(of_dataset, job.c.dataset_version == dataset[1])


def queue_position(conn: Connection, row: Mapping[str, Any]) -> int | None:
    """How many jobs of the same tenant and queue come before this one; None unless it waits.

    Tenants take turns, so jobs of others put it off by no more than one for each of these.
    """
    if row["state"] != "queued":
        return None
    own = {name: row[name] for name in ("id", "tenant_id", "queue", "priority", "created_at")}
    found = _BEFORE.one(conn, own)
    return found["before"] if found else None


def waiting_for(conn: Connection, tenant_id: str, job_id: str) -> dict[str, int] | None:
    """What a job waits for: `before` it, jobs of its tenant, and `workers` of its queue; None unless it waits."""
    row = get_job(conn, tenant_id, job_id)
    if row is None or (before := queue_position(conn, row)) is None:
        return None
    return {"before": before, "workers": workers_of(conn, row["queue"])}


def events_after(
    conn: Connection, tenant_id: str, job_id: str, seq: int, limit: int, *, types: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Events of a job with a number above `seq`, in order; only of these types when some are named."""
    query = (
        select(job_event.c.seq, job_event.c.at, job_event.c.type, job_event.c.data)
        .where(job_event.c.job_id == job_id, job_event.c.tenant_id == tenant_id, job_event.c.seq > seq)
        .order_by(job_event.c.seq)
        .limit(limit)
    )
    if types:
        query = query.where(job_event.c.type.in_(types))
    return [dict(row) for row in conn.execute(query).mappings()]


def state_and_seq(conn: Connection, tenant_id: str, job_id: str) -> tuple[str, int] | None:
    """A job's state and the number of its last event, read together."""
    query = select(job.c.state, job.c.last_seq).where(job.c.id == job_id, *visible(tenant_id))
    row = conn.execute(query).one_or_none()
    return (row.state, row.last_seq) if row else None


def states_and_seqs(conn: Connection, tenant_id: str, job_ids: Sequence[str]) -> dict[str, tuple[str, int]]:
    """The same of several jobs, by id; those that are not the tenant's are left out."""
    query = select(job.c.id, job.c.state, job.c.last_seq).where(job.c.id.in_(job_ids), *visible(tenant_id))
    return {row.id: (row.state, row.last_seq) for row in conn.execute(query)}


def outcome_counts(conn: Connection) -> list[tuple[str, str, str, str, int, float]]:
    """Over all tenants: task, kind, method, state, number of jobs, and the sum of their seconds from start to end."""
    seconds = func.coalesce(func.sum(func.extract("epoch", job.c.finished_at - job.c.started_at)), 0.0)
    group = (job.c.task, job.c.kind, job.c.method, job.c.state)
    rows = conn.execute(select(*group, func.count(), seconds).group_by(*group))
    return [(r[0], r[1], r[2], r[3], int(r[4]), float(r[5])) for r in rows]


def queue_depths(conn: Connection) -> list[tuple[str, int]]:
    """Queued jobs of every queue, over all tenants."""
    rows = conn.execute(select(job.c.queue, func.count()).where(job.c.state == "queued").group_by(job.c.queue))
    return [(row[0], int(row[1])) for row in rows]


def lost_attempts(conn: Connection) -> int:
    """Attempts whose lease ran out, over all tenants."""
    return conn.scalar(select(func.count()).where(job_attempt.c.outcome == "lost")) or 0


def overdue_leases(conn: Connection) -> int:
    """Running jobs whose lease is over and that nobody has taken from their silent owner, over all tenants."""
    overdue = (job.c.state.in_(("running", "cancelling")), job.c.lease_until < func.now() - _OVERDUE)
    return conn.scalar(select(func.count()).select_from(job).where(*overdue)) or 0


def unregistered_owners(conn: Connection) -> int:
    """Workers that own a running job and that no row of `worker` speaks of."""
    known = exists().where(worker.c.id == job.c.worker_id, worker.c.stopped_at.is_(None))
    owned = (job.c.state.in_(("running", "cancelling")), job.c.worker_id.is_not(None), ~known)
    return conn.scalar(select(func.count(func.distinct(job.c.worker_id))).where(*owned)) or 0


_OVERDUE = text("interval '30 seconds'")
_ONE = Prepared(select(job).where(job.c.id == bindparam("id"), *visible(bindparam("tenant_id"))))
_BEFORE = Prepared(
    select(func.count().label("before")).where(
        job.c.tenant_id == bindparam("tenant_id"),
        job.c.queue == bindparam("queue"),
        job.c.state == text("'queued'"),
        or_(
            job.c.priority > bindparam("priority"),
            and_(
                job.c.priority == bindparam("priority"),
                tuple_(job.c.created_at, job.c.id)
                < tuple_(bindparam("created_at", type_=job.c.created_at.type), bindparam("id", type_=job.c.id.type)),
            ),
        ),
    )
)
