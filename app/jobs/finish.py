"""How an attempt ends without a result: it failed, was cancelled, was lost, or was given back."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import CTE, Connection, Double, bindparam, func, select, update
from sqlalchemy.sql.dml import UpdateBase

from app.jobs.states import JobRow, With, lease, transition
from app.jobs.versions import mark_version_failed
from app.store.tables import job, job_attempt

# How often a job may be tried when its attempts end with this code. What is not named here fails at once: trying
# invalid input again changes nothing.
TRIES = {
    "worker_lost": 3,
    "out_of_memory": 2,
    "disk_full": 5,
    "store_unavailable": 5,
    "database_unavailable": 5,
    "executor_unavailable": 5,
}


@dataclass(frozen=True)
class AttemptEnd:
    """What the supervisor knows of a finished attempt; sizes in MB, times in seconds."""

    exit_code: int | None = None
    phase: str = ""
    peak_rss_mb: float = 0.0
    cpu_s: float = 0.0
    gpu_s: float | None = None  # None: nobody was left to say
    cost: dict[str, Any] = field(default_factory=dict[str, Any])


def fail_attempt(
    conn: Connection, row: JobRow, error: Mapping[str, Any], end: AttemptEnd, *, backoff_s: float = 5.0
) -> str | None:
    """End an attempt with an error: requeue the job when its code may be tried again, else fail it.

    Returns the job's state afterwards; None when the attempt no longer owned the job, and nothing was written.
    """
    job_id, fence, code = row["id"], row["fence"], str(error["code"])
    earlier = conn.scalar(
        select(func.count())
        .select_from(job_attempt)
        .where(job_attempt.c.job_id == job_id, job_attempt.c.outcome == code)
    )
    tries = (earlier or 0) + 1
    if tries < TRIES.get(code, 1):
        delay = min(300.0, backoff_s * 2 ** (tries - 1)) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads retries
        moved = transition(
            conn,
            job_id,
            "queued",
            fence=fence,
            data={"reason": code, "detail": error.get("detail", ""), "in_s": round(delay, 1)},
            values={
                "published_at": None,
                "worker_id": None,
                "degrade": 1 if code == "out_of_memory" else row["degrade"],
            },
            more=_TRIED_AGAIN,
            params={"delay_s": delay, **said(code, end)},
        )
        return "queued" if moved is not None else cancel_attempt(conn, row, end)
    moved = transition(
        conn,
        job_id,
        "failed",
        fence=fence,
        source="running",
        data=error,
        values={"error": dict(error), "cost": end.cost},
        more=ENDED,
        params=said(code, end),
    )
    if moved is None:
        return cancel_attempt(conn, row, end)
    mark_version_failed(conn, row, dict(error))
    return "failed"


def cancel_attempt(conn: Connection, row: JobRow, end: AttemptEnd) -> str | None:
    """End the attempt of a job that its user cancelled; None when it is not being cancelled by this owner."""
    moved = transition(
        conn,
        row["id"],
        "cancelled",
        fence=row["fence"],
        source="cancelling",
        values={"cost": end.cost},
        more=ENDED,
        params=said("cancelled", end),
    )
    if moved is None:
        return None
    mark_version_failed(conn, row)
    return "cancelled"


def release_attempt(conn: Connection, row: JobRow, end: AttemptEnd) -> str | None:
    """Give a job back because its worker is stopping: queued at once, and the attempt is not counted."""
    moved = transition(
        conn,
        row["id"],
        "queued",
        fence=row["fence"],
        data={"reason": "worker_stopping"},
        values={"published_at": None, "worker_id": None},
        more=_GIVEN_BACK,
        params=said("released", end),
    )
    return "queued" if moved is not None else cancel_attempt(conn, row, end)


def said(outcome: str, end: AttemptEnd) -> dict[str, Any]:
    """The parameters of `ENDED`."""
    return {"outcome": outcome, **{name: getattr(end, name) for name in _SAID}}


def _end_attempt(moved: CTE) -> list[UpdateBase]:
    mine = update(job_attempt).where(job_attempt.c.job_id == moved.c.id, job_attempt.c.fence == moved.c.fence)
    told = {name: bindparam(name, type_=job_attempt.c[name].type) for name in ("outcome", *_SAID)}
    return [mine.values(ended_at=func.now(), **told)]


_SAID = ("exit_code", "phase", "peak_rss_mb", "cpu_s", "gpu_s")
ENDED = With(also=_end_attempt, shown=(job.c.id, job.c.tenant_id, job.c.task, job.c.fence, job.c.last_seq))
"""With the move, the attempt that owned the job ends."""
_TRIED_AGAIN = replace(ENDED, values={"available_at": lease(bindparam("delay_s", type_=Double))})
_GIVEN_BACK = replace(ENDED, values={"available_at": func.now(), "attempt": job.c.attempt - 1})
