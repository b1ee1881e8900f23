"""What live workers said of themselves: those that are not stopped and were seen within a minute."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, and_, func, select, text

from app.store.tables import worker

_SILENCE = text("interval '60 seconds'")


def unavailable_kinds(conn: Connection) -> dict[str, str]:
    """Kinds that some live worker has but cannot run, each with the package that it lacks."""
    reports = conn.scalars(select(worker.c.capabilities["unavailable"]).where(_alive()))
    return {kind: package for one in reports for kind, package in (one or {}).items()}


def workers_of(conn: Connection, queue: str) -> int:
    """Live workers that serve this queue."""
    query = select(func.count()).select_from(worker).where(worker.c.queues.contains([queue]), _alive())
    return conn.scalar(query) or 0


def has_device(conn: Connection, queue: str, method: str, device: str) -> bool:
    """Whether a live worker serves this queue, runs the method (`kind/name`), and has the device."""
    able = {"devices": [device], "methods": [method]}
    query = select(worker.c.id).where(worker.c.queues.contains([queue]), worker.c.capabilities.contains(able), _alive())
    return conn.scalar(query.limit(1)) is not None


def _alive() -> ColumnElement[bool]:
    return and_(worker.c.stopped_at.is_(None), worker.c.last_seen > func.now() - _SILENCE)
