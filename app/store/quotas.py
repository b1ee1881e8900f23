"""What a tenant may use and what it uses. Both are in the database: when it cannot be asked, nothing is granted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, text, union

from app.settings import Settings
from app.store.tables import artifact, job, job_attempt, loose_bytes, tenant, upload

_DAY = text("interval '1 day'")
# Built once: building a statement takes several times as long as running it.
_LIMITS = select(tenant.c.limits).where(tenant.c.id == bindparam("id"))
_LIMITS_HELD = _LIMITS.with_for_update(key_share=True)  # rows that only refer to the tenant need not wait
_MINE = job.c.tenant_id == bindparam("tenant_id")
_QUEUED_OF = select(func.count()).select_from(job).where(job.c.state == "queued", _MINE)
_QUEUED_OF_BOTH = select(func.count().filter(_MINE), func.count()).select_from(job).where(job.c.state == "queued")


@dataclass(frozen=True)
class Quota:
    """Most stored bytes, queued and running jobs (in one kind of queue) of a tenant, GPU-seconds in 24 h, seconds and
    memory that a job may ask for, and queued jobs of all; 0: no limit."""

    stored_bytes: int = 0
    queued_jobs: int = 100
    running_jobs: int = 0
    gpu_s_per_day: float = 0.0
    job_s: int = 0
    job_memory_mb: int = 0
    queued_in_all: int = 1_000

    @classmethod
    def of(cls, settings: Settings) -> Quota:
        """What the settings give to every tenant."""
        return cls(
            stored_bytes=settings.quota_stored_bytes,
            queued_jobs=settings.queue_limit,
            running_jobs=settings.running_limit,
            gpu_s_per_day=settings.quota_gpu_s_per_day,
            job_s=settings.job_s_limit,
            job_memory_mb=settings.job_memory_mb_limit,
            queued_in_all=settings.queue_total_limit,
        )


def quota_of(conn: Connection, tenant_id: str, default: Quota, *, lock: bool = False) -> Quota:
    """The quota of one tenant: its own limits where it has some.

    `lock`: hold the tenant until the transaction ends, so that what is counted next cannot grow meanwhile.
    """
    own: dict[str, Any] = conn.scalars(_LIMITS_HELD if lock else _LIMITS, {"id": tenant_id}).one()
    given = {name: type(value)(own.get(name, value)) for name, value in asdict(default).items()}
    return Quota(**{**given, "queued_in_all": default.queued_in_all})


def stored_bytes_of(conn: Connection, tenant_id: str) -> int:
    """Bytes that lie on the disk for a tenant, each file once, and room that is taken by what is still to come.

    These are its files, what none of them refers to any more (or yet), and its unfinished uploads at full length.
    """
    files = select(artifact.c.sha256, artifact.c.size).where(artifact.c.tenant_id == tenant_id)
    loose = select(loose_bytes.c.id, loose_bytes.c.size).where(
        loose_bytes.c.tenant_id == tenant_id,
        loose_bytes.c.expires_at.is_(None) | (loose_bytes.c.expires_at > func.now()),
    )
    each = union(files, loose).subquery()
    coming = select(func.coalesce(func.sum(upload.c.length), 0)).where(
        upload.c.tenant_id == tenant_id, upload.c.stored_sha256.is_(None)
    )
    stored = conn.scalar(select(func.coalesce(func.sum(each.c.size), 0)))
    return int(stored or 0) + int(conn.scalar(coming) or 0)


def queued_jobs_of(conn: Connection, tenant_id: str) -> int:
    """Jobs of a tenant that wait."""
    return conn.scalar(_QUEUED_OF, {"tenant_id": tenant_id}) or 0


def queued_jobs(conn: Connection, tenant_id: str) -> tuple[int, int]:
    """Jobs that wait: of a tenant, and of all. Asked together, as the tenant is held meanwhile."""
    own, of_all = conn.execute(_QUEUED_OF_BOTH, {"tenant_id": tenant_id}).one()
    return own, of_all


def gpu_seconds_of(conn: Connection, tenant_id: str) -> float:
    """Seconds of the last 24 h in which attempts of a tenant's GPU jobs held a device, also those that failed.

    An attempt that is under way, or whose worker was lost, counts from its beginning to its end.
    """
    since = func.now() - _DAY
    begun = func.greatest(job_attempt.c.started_at, since)
    taken = func.extract("epoch", func.coalesce(job_attempt.c.ended_at, func.now()) - begun)
    held = func.least(taken, func.coalesce(job_attempt.c.gpu_s, taken))
    query = (
        select(func.coalesce(func.sum(held), 0.0))
        .select_from(job_attempt)
        .join(job, job.c.id == job_attempt.c.job_id)
        .where(
            job.c.tenant_id == tenant_id,
            job.c.queue == "gpu",
            func.coalesce(job_attempt.c.ended_at, func.now()) > since,
            (job.c.finished_at.is_(None)) | (job.c.finished_at > since),
        )
    )
    return float(conn.scalar(query) or 0.0)
