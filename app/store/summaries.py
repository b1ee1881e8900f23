"""Queries for summaries and reports. A deleted summary is invisible here; its report stays readable."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select, update

from app.store.jobs import reads
from app.store.lists import After, newest_first
from app.store.tables import artifact, blob, job, report, summary


def get_summary(conn: Connection, tenant_id: str, summary_id: str) -> dict[str, Any] | None:
    """One summary, with what its job read (`source_id`, `source_version`) and the `size` of its files."""
    row = conn.execute(_summaries(tenant_id).where(summary.c.id == summary_id)).mappings().one_or_none()
    return dict(row) if row else None


def list_summaries(
    conn: Connection,
    tenant_id: str,
    *,
    dataset: tuple[str, int | None] | None = None,
    job_id: str | None = None,
    kind: str | None = None,
    created_after: datetime | None = None,
    after: After | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Summaries, newest first, older than `after`; `dataset`: made from this one, or this version of it."""
    query = _summaries(tenant_id)
    if dataset is not None:
        query = query.where(reads(dataset))
    if job_id is not None:
        query = query.where(summary.c.job_id == job_id)
    if kind is not None:
        query = query.where(summary.c.kind == kind)
    query = newest_first(query, summary, after=after, created_after=created_after, limit=limit)
    return [dict(row) for row in conn.execute(query).mappings()]


def delete_summary(conn: Connection, tenant_id: str, summary_id: str) -> bool:
    """Hide a summary, so that it is neither served nor used as an answer or input; False when there is none."""
    done = conn.execute(
        update(summary)
        .where(summary.c.id == summary_id, summary.c.tenant_id == tenant_id, summary.c.deleted_at.is_(None))
        .values(deleted_at=func.now())
    )
    return done.rowcount == 1


def get_report(conn: Connection, tenant_id: str, report_id: str) -> dict[str, Any] | None:
    """One report's row; its documents are artifacts."""
    row = conn.execute(
        select(report).where(report.c.id == report_id, report.c.tenant_id == tenant_id)
    ).mappings().one_or_none()  # fmt: skip
    return dict(row) if row else None


def list_reports(
    conn: Connection,
    tenant_id: str,
    *,
    dataset: tuple[str, int | None] | None = None,
    job_id: str | None = None,
    kind: str | None = None,
    created_after: datetime | None = None,
    after: After | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Reports with the `kind`, `method` and dataset of their jobs, newest first, older than `after`."""
    about_job = (job.c.kind, job.c.method, job.c.dataset_id, job.c.dataset_version)
    query = select(report, *about_job).join(job, job.c.id == report.c.job_id).where(report.c.tenant_id == tenant_id)
    if dataset is not None:
        query = query.where(reads(dataset))
    if job_id is not None:
        query = query.where(report.c.job_id == job_id)
    if kind is not None:
        query = query.where(job.c.kind == kind)
    query = newest_first(query, report, after=after, created_after=created_after, limit=limit)
    return [dict(row) for row in conn.execute(query).mappings()]


def stored_bytes(conn: Connection) -> int:
    """Bytes of all blobs that the database knows."""
    return int(conn.scalar(select(func.coalesce(func.sum(blob.c.size), 0))) or 0)


def _summaries(tenant_id: str) -> Select[Any]:
    size = select(func.coalesce(func.sum(artifact.c.size), 0)).where(artifact.c.owner == summary.c.id)
    source = (job.c.dataset_id.label("source_id"), job.c.dataset_version.label("source_version"))
    return (
        select(summary, *source, size.scalar_subquery().label("size"))
        .join(job, job.c.id == summary.c.job_id)
        .where(summary.c.tenant_id == tenant_id, summary.c.deleted_at.is_(None))
    )
