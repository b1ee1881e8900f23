"""Queries for resumable uploads. `offset` counts bytes that are certainly on the disk; see `app.store.staging`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, text, update

from app.store.ids import new_id
from app.store.tables import upload


def create_upload(
    conn: Connection,
    tenant_id: str,
    dataset_id: str,
    path: str,
    *,
    length: int,
    sha256: str | None,
    metadata: str,
    keep_s: float,
) -> dict[str, Any]:
    """A new upload of `length` bytes that will be the dataset's file at `path`."""
    row = conn.execute(
        insert(upload)
        .values(
            id=new_id("upl"),
            tenant_id=tenant_id,
            dataset_id=dataset_id,
            path=path,
            length=length,
            sha256=sha256,
            metadata=metadata,
            expires_at=_in(keep_s),
        )
        .returning(*_COLUMNS)
    )
    return dict(row.mappings().one())


def get_upload(conn: Connection, tenant_id: str, upload_id: str) -> dict[str, Any] | None:
    """One upload; `expired` says whether its time is over."""
    row = conn.execute(select(*_COLUMNS).where(*_is(tenant_id, upload_id))).mappings().one_or_none()
    return dict(row) if row else None


def advance(conn: Connection, tenant_id: str, upload_id: str, offset: int, *, keep_s: float) -> dict[str, Any] | None:
    """Acknowledge the first `offset` bytes, which are on the disk; None when the upload is gone."""
    row = conn.execute(
        update(upload)
        .where(*_is(tenant_id, upload_id), upload.c.stored_sha256.is_(None))
        .values(offset=offset, expires_at=_in(keep_s))
        .returning(*_COLUMNS)
    )
    found = row.mappings().one_or_none()
    return dict(found) if found else None


def mark_stored(conn: Connection, tenant_id: str, upload_id: str, sha256: str) -> bool:
    """Say that an upload has become the dataset's file; False when the upload is gone."""
    done = conn.execute(
        update(upload)
        .where(*_is(tenant_id, upload_id), upload.c.stored_sha256.is_(None))
        .values(stored_sha256=sha256, offset=upload.c.length)
    )
    return done.rowcount == 1


def delete_upload(conn: Connection, tenant_id: str, upload_id: str) -> bool:
    """Forget an upload; False when there is none."""
    return conn.execute(delete(upload).where(*_is(tenant_id, upload_id))).rowcount == 1


def delete_expired(conn: Connection, *, limit: int = 1000) -> list[str]:
    """Forget uploads whose time is over, of all tenants; returns their ids."""
    old = select(upload.c.id).where(upload.c.expires_at <= func.now()).limit(limit).with_for_update(skip_locked=True)
    return list(conn.scalars(delete(upload).where(upload.c.id.in_(old)).returning(upload.c.id)))


def unfinished_ids(conn: Connection) -> set[str]:
    """Uploads, of all tenants, whose files in the staging folder are still wanted."""
    return set(conn.scalars(select(upload.c.id).where(upload.c.stored_sha256.is_(None))))


def unfinished_of(conn: Connection, tenant_id: str) -> int:
    """How many uploads of a tenant have begun and are not finished; also expired ones, until they are removed."""
    mine = (upload.c.tenant_id == tenant_id, upload.c.stored_sha256.is_(None))
    return conn.scalar(select(func.count()).select_from(upload).where(*mine)) or 0


def _is(tenant_id: str, upload_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return upload.c.id == upload_id, upload.c.tenant_id == tenant_id


def _in(seconds: float) -> ColumnElement[Any]:
    return func.now() + text(f"interval '{float(seconds)} seconds'")


_COLUMNS: tuple[Any, ...] = (*upload.c, (upload.c.expires_at <= func.now()).label("expired"))
