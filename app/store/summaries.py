"""Queries for summaries and reports. A deleted summary is invisible here; its report stays readable."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select, update

from app.store.tables import blob, report, summary


def get_summary(conn: Connection, tenant_id: str, summary_id: str) -> dict[str, Any] | None:
    """One summary."""
    row = conn.execute(
        select(summary).where(
            summary.c.id == summary_id, summary.c.tenant_id == tenant_id, summary.c.deleted_at.is_(None)
        )
    ).mappings().one_or_none()  # fmt: skip
    return dict(row) if row else None


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


def stored_bytes(conn: Connection) -> int:
    """Bytes of all blobs that the database knows."""
    return int(conn.scalar(select(func.coalesce(func.sum(blob.c.size), 0))) or 0)
