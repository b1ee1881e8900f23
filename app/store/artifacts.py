"""Files in the database's eyes: who owns which blob under which path."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, func, select

from app.store.tables import artifact


def get_artifact(conn: Connection, tenant_id: str, owner: str, path: str) -> dict[str, Any] | None:
    """One file of an owner (`ds_x`, `ds_x@1`, `sum_x`, `rep_x`), or None."""
    row = conn.execute(
        select(artifact).where(
            artifact.c.owner == owner, artifact.c.path == path, artifact.c.tenant_id == tenant_id
        )
    ).mappings().one_or_none()  # fmt: skip
    return dict(row) if row else None


def list_artifacts(
    conn: Connection,
    tenant_id: str,
    owner: str,
    *,
    prefix: str = "",
    after: str | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Files of an owner below `prefix`, by their paths' bytes, after the path `after`; all of them without a limit."""
    by_bytes = artifact.c.path.collate("C")
    query = select(artifact).where(artifact.c.owner == owner, artifact.c.tenant_id == tenant_id)
    if prefix:
        query = query.where(artifact.c.path.startswith(prefix, autoescape=True))
    if after is not None:
        query = query.where(by_bytes > after)
    return [dict(row) for row in conn.execute(query.order_by(by_bytes).limit(limit)).mappings()]


def same_path_in_other_case(conn: Connection, tenant_id: str, owner: str, path: str) -> str | None:
    """A file of the owner whose path differs only in case: two such files collide on some disks."""
    return conn.scalar(
        select(artifact.c.path).where(
            artifact.c.owner == owner,
            artifact.c.tenant_id == tenant_id,
            func.lower(artifact.c.path) == path.lower(),
            artifact.c.path != path,
        )
    )


def delete_artifact(conn: Connection, tenant_id: str, owner: str, path: str) -> bool:
    """Forget a file; the sweeper deletes its blob when nobody else refers to it. False when there was none."""
    done = conn.execute(
        delete(artifact).where(artifact.c.owner == owner, artifact.c.path == path, artifact.c.tenant_id == tenant_id)
    )
    return done.rowcount == 1
