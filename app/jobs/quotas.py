"""Whether a tenant may store or compute more. Every check fails closed: what cannot be counted is not granted."""

from __future__ import annotations

from sqlalchemy import Connection

from app.jobs.errors import Refused
from app.jobs.route import GPU_QUEUE
from app.store.quotas import (
    Quota,
    gpu_seconds_of,
    has_stored,
    queued_jobs,
    quota_of,
    stored_bytes_of,
)


def admit_job(conn: Connection, tenant_id: str, queue: str, quota: Quota) -> None:
    """Refuse a job that its tenant's quota (already looked up, its tenant held) or the whole queue has no room for."""
    waiting, of_all = queued_jobs(conn, tenant_id) if quota.queued_jobs or quota.queued_in_all else (0, 0)
    if quota.queued_jobs and waiting >= quota.queued_jobs:
        raise Refused("queue_full", f"{waiting} jobs are waiting already.", hint="Try again when some have finished.")
    if quota.queued_in_all and of_all >= quota.queued_in_all:
        raise Refused("queue_full", "The queue of the whole service is full.", hint="Try again in a minute.")
    if queue == GPU_QUEUE and gpu_time_is_used(conn, tenant_id, quota):
        raise Refused(
            "quota_exceeded",
            f"All {quota.gpu_s_per_day:.0f} GPU-seconds in 24 h are used.",
            hint="Run it on the CPU, or wait until the seconds of yesterday no longer count.",
            pointer="/device",
        )


def gpu_time_is_used(conn: Connection, tenant_id: str, quota: Quota) -> bool:
    """Whether a tenant's jobs have held GPUs for as long as they may in 24 h."""
    return bool(quota.gpu_s_per_day) and gpu_seconds_of(conn, tenant_id) >= quota.gpu_s_per_day


def need_room(conn: Connection, tenant_id: str, default: Quota, more_bytes: int, sha256: str | None = None) -> None:
    """Refuse bytes that are about to come when they would not fit; `sha256`: what they are known to be."""
    quota = quota_of(conn, tenant_id, default, lock=True)
    if quota.stored_bytes and not (sha256 and has_stored(conn, tenant_id, sha256)):
        _check(stored_bytes_of(conn, tenant_id) + more_bytes, quota)


def need_no_more_room(conn: Connection, tenant_id: str, default: Quota) -> None:
    """Refuse what this transaction has just stored when it is too much; the tenant is held, so the count is exact."""
    quota = quota_of(conn, tenant_id, default, lock=True)
    if quota.stored_bytes:
        _check(stored_bytes_of(conn, tenant_id), quota)


def _check(stored: int, quota: Quota) -> None:
    if stored > quota.stored_bytes:
        raise Refused(
            "quota_exceeded",
            f"With this, {stored} bytes would be stored; {quota.stored_bytes} may be.",
            hint="Delete datasets or summaries; their files cease to count when their grace period is over.",
        )
