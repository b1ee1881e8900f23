"""How an attempt ends without a result: it failed, was cancelled, was lost, or was given back."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select, update

from app.jobs.states import JobRow, lease, transition
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
                "available_at": lease(delay),
                "published_at": None,
                "worker_id": None,
                "degrade": 1 if code == "out_of_memory" else row["degrade"],
            },
        )
        if moved is not None:
            _end_attempt(conn, job_id, fence, code, end)
            return "queued"
        return cancel_attempt(conn, row, end)
    moved = transition(
        conn,
        job_id,
        "failed",
        fence=fence,
        source="running",
        data=error,
        values={"error": dict(error), "cost": end.cost},
    )
    if moved is None:
        return cancel_attempt(conn, row, end)
    _end_attempt(conn, job_id, fence, code, end)
    mark_version_failed(conn, row, dict(error))
    return "failed"


def cancel_attempt(conn: Connection, row: JobRow, end: AttemptEnd) -> str | None:
    """End the attempt of a job that its user cancelled; None when it is not being cancelled by this owner."""
    moved = transition(conn, row["id"], "cancelled", fence=row["fence"], source="cancelling", values={"cost": end.cost})
    if moved is None:
        return None
    _end_attempt(conn, row["id"], row["fence"], "cancelled", end)
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
        values={
            "available_at": func.now(),
            "published_at": None,
            "worker_id": None,
            "attempt": job.c.attempt - 1,
        },
    )
    if moved is None:
        return cancel_attempt(conn, row, end)
    _end_attempt(conn, row["id"], row["fence"], "released", end)
    return "queued"


def _end_attempt(conn: Connection, job_id: str, fence: int, outcome: str, end: AttemptEnd) -> None:
    conn.execute(
        update(job_attempt)
        .where(job_attempt.c.job_id == job_id, job_attempt.c.fence == fence)
        .values(
            ended_at=func.now(),
            outcome=outcome,
            exit_code=end.exit_code,
            phase=end.phase,
            peak_rss_mb=end.peak_rss_mb,
            cpu_s=end.cpu_s,
            gpu_s=end.gpu_s,
        )
    )
