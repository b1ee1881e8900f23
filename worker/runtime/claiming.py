"""What a worker takes on: the job that a hint names, then whatever else waits in its queues."""

from __future__ import annotations

import time

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from app import tracing
from app.jobs.claim import claim_job, claim_next
from app.jobs.states import JobRow
from app.settings import Settings
from app.store.disk import short_of_disk

log = structlog.get_logger()


class Claimer:
    """Claims for one worker. What it cannot claim now stays queued, and the dispatcher hints at it again."""

    def __init__(self, engine: Engine, settings: Settings, worker_id: str) -> None:
        self._engine = engine
        self._settings = settings
        self._worker_id = worker_id
        self._queues = [name.strip() for name in settings.queues.split(",") if name.strip()]

    def claim(self, job_id: str | None = None) -> JobRow | None:
        """This job, else the next of our queues, now ours; None when it is not to be had, or none waits."""
        if short_of_disk(self._settings.staging_dir, self._settings.disk_reserve_bytes):
            log.warning("not_claimed", job_id=job_id, reason="short of disk")
            return None
        began, lease_s = time.time(), self._settings.lease_s
        try:
            with self._engine.begin() as conn:
                if job_id is not None:
                    row = claim_job(conn, job_id, self._worker_id, lease_s)
                else:
                    row = claim_next(conn, self._queues, self._worker_id, lease_s)
        except DBAPIError as error:
            log.warning("claim_failed", job_id=job_id, error=type(error).__name__)
            return None
        if row is not None:
            with tracing.span("claim", parent=row["traceparent"], began=began, job_id=row["id"], fence=row["fence"]):
                pass
        return row
