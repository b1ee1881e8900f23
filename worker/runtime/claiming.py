"""What a worker takes on: whatever waits first in the queues that it has a free slot for."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from app import tracing
from app.jobs.claim import claim_next
from app.jobs.states import JobRow
from app.settings import Settings
from app.store.database import at_once
from app.store.disk import short_of_disk

log = structlog.get_logger()


class Claimer:
    """Claims for one worker. What it cannot claim now stays queued, and the dispatcher hints at it again."""

    def __init__(self, engine: Engine, settings: Settings, worker_id: str) -> None:
        self._engine = engine
        self._settings = settings
        self._worker_id = worker_id

    def claim(self, queues: Sequence[str]) -> JobRow | None:
        """The next job of these queues, now ours; None when none is to be had."""
        if short_of_disk(self._settings.staging_dir, self._settings.disk_reserve_bytes):
            log.warning("not_claimed", queues=queues, reason="short of disk")
            return None
        began = time.time()
        try:
            with at_once(self._engine) as conn:
                limit = self._settings.running_limit
                row = claim_next(conn, queues, self._worker_id, self._settings.lease_s, running_limit=limit)
        except DBAPIError as error:
            log.warning("claim_failed", queues=queues, error=type(error).__name__)
            return None
        if row is not None:
            with tracing.span("claim", parent=row["traceparent"], began=began, job_id=row["id"], fence=row["fence"]):
                pass
        return row
