"""Bytes that lie on the disk for a tenant, or are about to, though none of its files refers to them.

A body on its way in has a row under a name of its own, for a time that is renewed while it comes. A blob has one under
its hash from before it is stored until a file refers to it, and again from the end of any such reference (a trigger
sees to that, whoever ends it) until the sweeper finds that it is gone, or that somebody refers to it.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, exists, func, select, text
from sqlalchemy.dialects.postgresql import insert

from app.store.blobs import StoredBlob
from app.store.tables import artifact, loose_bytes

SETTLE_S = 3600.0  # a blob may be stored so long after its row was made
_BATCH = 1000


def hold(conn: Connection, tenant_id: str, name: str, size: int, keep_s: float) -> None:
    """Count `size` bytes that come under this name, for so long; a name that is there already has this size now."""
    until = func.now() + text(f"interval '{float(keep_s)} seconds'")
    row = insert(loose_bytes).values(tenant_id=tenant_id, id=name, size=size, expires_at=until)
    conn.execute(
        row.on_conflict_do_update(index_elements=["tenant_id", "id"], set_={"size": size, "expires_at": until})
    )


def note_blob(conn: Connection, tenant_id: str, stored: StoredBlob) -> None:
    """Count a blob that is about to be stored."""
    row = insert(loose_bytes).values(tenant_id=tenant_id, id=stored.sha256, size=stored.size)
    conn.execute(row.on_conflict_do_update(index_elements=["tenant_id", "id"], set_={"created_at": func.now()}))


def let_go(conn: Connection, tenant_id: str, *names: str) -> None:
    """Count these no longer: a file refers to the blob, or the bytes are gone."""
    conn.execute(delete(loose_bytes).where(loose_bytes.c.tenant_id == tenant_id, loose_bytes.c.id.in_(names)))


def forget_gone(conn: Connection, deleted: Collection[str], present: Collection[str]) -> None:
    """Count no longer, whoever brought them: blobs that were just deleted, that are not among those `present`, or that
    a file refers to; and bodies that nobody has heard of for their time."""
    gone = list(deleted)
    for start in range(0, len(gone), _BATCH):
        conn.execute(delete(loose_bytes).where(loose_bytes.c.id.in_(gone[start : start + _BATCH])))
    settled = (
        loose_bytes.c.expires_at.is_(None),
        loose_bytes.c.created_at < func.now() - text(f"interval '{SETTLE_S} seconds'"),
    )
    absent = [name for name in conn.scalars(select(loose_bytes.c.id).where(*settled).distinct()) if name not in present]
    for start in range(0, len(absent), _BATCH):
        conn.execute(delete(loose_bytes).where(*settled, loose_bytes.c.id.in_(absent[start : start + _BATCH])))
    referred = exists().where(artifact.c.sha256 == loose_bytes.c.id)
    conn.execute(delete(loose_bytes).where(*settled, referred))
    conn.execute(delete(loose_bytes).where(loose_bytes.c.expires_at <= func.now()))
