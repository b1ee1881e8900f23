"""The states of a job and the one function that moves it between them.

    queued --claim--> running --commit--> succeeded
      |  ^              |   |---error-----> failed
      |  '--requeue-----'   '---cancel----> cancelling --> cancelled (or failed)
      '----cancel-----------------------------------------> cancelled

The database refuses every other move by itself (trigger `job_guard`), so a bug here cannot break history.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, func, insert, text, update

from app.store.database import notify
from app.store.tables import job, job_event
from app.webhooks.announce import announce_end

JobRow = Mapping[Any, Any]
"""A row of the table `job`."""

SOURCES: dict[str, tuple[str, ...]] = {
    "queued": ("running",),
    "running": ("queued",),
    "cancelling": ("running",),
    "succeeded": ("running",),
    "failed": ("running", "cancelling"),
    "cancelled": ("queued", "cancelling"),
}
OWNED = ("running", "cancelling")
TERMINAL = ("succeeded", "failed", "cancelled")
_EVENT = {"running": "started", "queued": "requeued"}


def transition(
    conn: Connection,
    job_id: str | ScalarSelect[str],
    to: str,
    *,
    fence: int | None = None,
    source: str | None = None,
    where: ColumnElement[bool] | None = None,
    data: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
) -> JobRow | None:
    """Move a job to the state `to` and write the event of it; None when the move is not open (any more).

    `fence`: only the owner of this fence may move it. `source`: only from this state. `where`: only if this
    holds, too. `data`: what the event tells. `values`: further columns set in the same statement.
    """
    conditions = [job.c.id == job_id, job.c.state.in_((source,) if source else SOURCES[to])]
    if fence is not None:
        conditions.append(job.c.fence == fence)
    if where is not None:
        conditions.append(where)
    changes: dict[str, Any] = {"state": to, "last_seq": job.c.last_seq + 1}
    if to not in OWNED:
        changes["lease_until"] = None
    if to in TERMINAL:
        changes["finished_at"] = func.now()
    row = (
        conn.execute(update(job).where(*conditions).values(**changes, **(values or {})).returning(job))
        .mappings()
        .one_or_none()
    )
    if row is None:
        return None
    _write_event(conn, row, _EVENT.get(to, to), data or {})
    if to in TERMINAL:
        announce_end(conn, row)
    if to == "queued":
        notify(conn, "job_queued", row["id"])
    if to == "cancelling":
        notify(conn, "job_cancel", row["id"])
    return row


def append_event(
    conn: Connection,
    job_id: str,
    kind: str,
    data: Mapping[str, Any],
    *,
    fence: int | None = None,
    values: Mapping[str, Any] | None = None,
) -> bool:
    """Add an event that is no move; False when `fence` no longer owns the job."""
    conditions = [job.c.id == job_id]
    if fence is not None:
        conditions += [job.c.fence == fence, job.c.state.in_(OWNED)]
    row = (
        conn.execute(
            update(job).where(*conditions).values(last_seq=job.c.last_seq + 1, **(values or {})).returning(job)
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        return False
    _write_event(conn, row, kind, data)
    return True


def lease(seconds: float) -> Any:
    """The end of a lease that starts now, by the database's clock."""
    return func.now() + text(f"interval '{float(seconds)} seconds'")


def _write_event(conn: Connection, row: JobRow, kind: str, data: Mapping[str, Any]) -> None:
    event = {"job_id": row["id"], "seq": row["last_seq"], "tenant_id": row["tenant_id"], "type": kind}
    conn.execute(insert(job_event), {**event, "data": dict(data)})
