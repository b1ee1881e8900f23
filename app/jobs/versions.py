"""What the end of an ingest job means for the dataset version it was for."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, update

from app.jobs.states import JobRow
from app.store.tables import dataset_version


def mark_version_failed(conn: Connection, job: JobRow, error: dict[str, Any] | None = None) -> None:
    """An ingest job ended without a result: its version will never be ready."""
    if job["task"] != "ingest":
        return
    conn.execute(
        update(dataset_version)
        .where(
            dataset_version.c.dataset_id == job["dataset_id"],
            dataset_version.c.number == job["dataset_version"],
            dataset_version.c.state == "ingesting",
        )
        .values(
            state="failed",
            manifest=dataset_version.c.manifest.op("||")({"error": error or {"code": "cancelled"}}),
        )
    )
