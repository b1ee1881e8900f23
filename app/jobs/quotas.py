"""Whether a tenant may store or compute more. Every check fails closed: what cannot be counted is not granted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from app.jobs.errors import Refused
from app.jobs.route import GPU_QUEUE
from app.store.blobs import StoredBlob
from app.store.loose_bytes import hold, let_go, note_blob
from app.store.quotas import (
    Quota,
    gpu_seconds_of,
    queued_jobs,
    quota_of,
    stored_bytes_of,
)


def admit_job(conn: Connection, tenant_id: str, queue: str, quota: Quota) -> None:
    """Refuse a job that its tenant's quota (already looked up, its tenant held) or the whole queue has no room for."""
    waiting, of_all = queued_jobs(conn, tenant_id) if quota.queued_jobs or quota.queued_in_all else (0, 0)
    if quota.queued_jobs and waiting >= quota.queued_jobs:
        raise Refused("queue_full", f"{waiting} jobs are waiting already.", hint="Try again when some have finished.")
    # Nobody takes more of the common queue than is left free, so that whoever comes next still finds room.
    if quota.queued_in_all and waiting >= quota.queued_in_all - of_all:
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


def hold_room(conn: Connection, tenant_id: str, default: Quota, coming: Mapping[str, int], keep_s: float) -> None:
    """Take room for bytes that are about to come, their number by a name for each; refused when they would not fit.

    A name that holds room already holds this much from now on; all names are let go of after `keep_s`.
    """
    quota = quota_of(conn, tenant_id, default, lock=True)
    for name, size in coming.items():
        hold(conn, tenant_id, name, size, keep_s)
    _check(conn, tenant_id, quota)


def hold_blob(conn: Connection, tenant_id: str, default: Quota, stored: StoredBlob, instead_of: str) -> None:
    """Before a blob is stored, count it instead of the body that it came as; refused when it does not fit."""
    quota = quota_of(conn, tenant_id, default, lock=True)
    let_go(conn, tenant_id, instead_of)
    note_blob(conn, tenant_id, stored)
    _check(conn, tenant_id, quota)


def keep_within(
    conn: Connection, tenant_id: str, default: Quota, stored: StoredBlob, record: Callable[[], None]
) -> None:
    """Let a file refer to a blob, by `record`, and the blob no longer be loose; refused when that is too much.

    The tenant is held from before the first change, so that the count is exact and nobody waits for us in a circle.
    """
    quota = quota_of(conn, tenant_id, default, lock=True)
    record()
    let_go(conn, tenant_id, stored.sha256)
    _check(conn, tenant_id, quota)


def need_room(conn: Connection, tenant_id: str, default: Quota, more_bytes: int) -> None:
    """Refuse so many bytes, which are about to come, when they would not fit."""
    _check(conn, tenant_id, quota_of(conn, tenant_id, default, lock=True), more_bytes)


def _check(conn: Connection, tenant_id: str, quota: Quota, more_bytes: int = 0) -> None:
    if not quota.stored_bytes:
        return
    stored = stored_bytes_of(conn, tenant_id) + more_bytes
    if stored > quota.stored_bytes:
        raise Refused(
            "quota_exceeded",
            f"With this, {stored} bytes would lie on the disk; {quota.stored_bytes} may.",
            hint="Delete datasets or summaries; what was deleted or replaced counts until it has left the disk. "
            "GET /v1/usage tells how much that is.",
        )
